"""Vectors in the forms that people have: the same numbers come from each, and what is wrong is named."""

from __future__ import annotations

import errno
import gzip
import os
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from hpa_hier.data.vectors.read import read_vectors
from hpa_hier.data.vectors.source import VectorSource, count_block_rows
from hpa_hier.data.vectors.table import VectorTable
from hpa_hier.errors import UserError

WIDTH = 40
IDS = tuple(f"{800 + i}_A6_1" for i in range(20))
VALUES = np.random.default_rng(0).normal(size=(20, WIDTH)).astype(np.float32)
FEATURES = tuple(f"feat{j:04d}" for j in range(WIDTH))


def read(path: Path, **asked: object) -> VectorTable:
    return read_vectors(VectorSource(path, **asked))  # type: ignore[arg-type]


def subcell_table() -> pd.DataFrame:
    """Return a table as SubCellPortable's result.csv: words, probabilities, features."""
    words = {"id": IDS, "top_class_name": "Cytosol", "top_class": 7, "top_3_classes": "7,11,2"}
    probs = np.random.default_rng(1).random((20, 31))
    blocks = [pd.DataFrame(words), pd.DataFrame(probs, columns=[f"prob{j:02d}" for j in range(31)])]
    return pd.concat([*blocks, pd.DataFrame(VALUES, columns=FEATURES)], axis=1)


def write_h5ad(path: Path, **matrices: np.ndarray) -> None:
    """Write an .h5ad file as SubCellPortable does: X, obs/index as bytes, and matrices of obsm."""
    with h5py.File(path, "w") as file:
        file.create_dataset("X", data=VALUES)
        file.create_dataset("obs/index", data=np.array(IDS, dtype="S"))
        for name, matrix in matrices.items():
            file.create_dataset(f"obsm/{name}", data=matrix)


def write_sparse(path: Path, kind: str, matrix: np.ndarray) -> None:
    """Write an .h5ad file as AnnData does, with a sparse X, named features, and columns of obs."""
    held = getattr(sparse, f"{kind}_matrix")(matrix)
    text = h5py.string_dtype("utf-8")
    with h5py.File(path, "w") as file:
        group = file.create_group("X")
        group.attrs["encoding-type"], group.attrs["shape"] = f"{kind}_matrix", matrix.shape
        for name in ("data", "indices", "indptr"):
            group.create_dataset(name, data=getattr(held, name))
        obs, var = file.create_group("obs"), file.create_group("var")
        obs.attrs["_index"], obs.attrs["column-order"] = "name", ["location", "plate"]
        obs.create_dataset("name", data=list(IDS), dtype=text)
        obs.create_dataset("location/categories", data=["Cytosol", "Nucleoli"], dtype=text)
        obs.create_dataset("location/codes", data=np.arange(20, dtype=np.int8) % 3 - 1)
        obs.create_dataset("plate", data=np.arange(20) // 4)
        var.attrs["_index"] = "_index"
        var.create_dataset("_index", data=list(FEATURES), dtype=text)


def test_all_that_subcellportable_writes_is_the_same_vectors(tmp_path: Path) -> None:
    write_h5ad(tmp_path / "embeddings.h5ad", probabilities=np.zeros((20, 31), np.float32))
    subcell_table().to_csv(tmp_path / "result.csv", index=False)
    for sample, vector in zip(IDS, VALUES, strict=True):
        np.save(tmp_path / f"{sample}_embedding.npy", vector)
        np.save(tmp_path / f"{sample}_probabilities.npy", np.zeros(31))
    for path in (tmp_path / "embeddings.h5ad", tmp_path / "result.csv", tmp_path):
        table = read(path)
        assert (table.ids, len(table.features)) == (IDS, WIDTH)
        np.testing.assert_array_equal(table.values, VALUES)
    assert read(tmp_path / "result.csv").features == FEATURES
    assert (
        read(tmp_path / "embeddings.h5ad").features == read(tmp_path).features == tuple(f"f{j}" for j in range(WIDTH))
    )


@pytest.mark.parametrize("name", ["v.csv", "v.tsv", "v.csv.gz", "v.parquet", "v.feather"])
def test_a_table_of_any_format_leaves_out_what_is_no_feature_and_says_so(tmp_path: Path, name: str) -> None:
    frame, path = subcell_table(), tmp_path / name
    if path.suffix in (".parquet", ".feather"):
        getattr(frame, f"to_{path.suffix[1:]}")(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    table = read(path)
    np.testing.assert_array_equal(table.values, VALUES)
    assert (table.ids, table.features) == (IDS, FEATURES)
    words, numbers = table.notes
    assert words == "left out, as words and no numbers: 'top_class_name', 'top_3_classes'"
    assert numbers.startswith(
        "left out, as no features beside 'feat0000' … 'feat0039': 'top_class', 'prob00', 'prob01'"
    )
    assert read(path, features="prob").features == tuple(f"prob{j:02d}" for j in range(31))
    assert read(path, features="prob0|feat0000$").features == (*(f"prob0{j}" for j in range(10)), "feat0000")


@pytest.mark.parametrize("kind", ["csr", "csc"])
def test_a_sparse_matrix_of_an_h5ad_file_is_read_with_its_names(tmp_path: Path, kind: str) -> None:
    matrix = np.where(VALUES > 0.5, VALUES, 0)
    write_sparse(tmp_path / "v.h5ad", kind, matrix)
    table = read(tmp_path / "v.h5ad")
    assert (table.ids, table.features) == (IDS, FEATURES)
    np.testing.assert_array_equal(table.values, matrix)
    assert read(tmp_path / "v.h5ad", features="feat000").features == FEATURES[:10]
    means = read(tmp_path / "v.h5ad", per="plate")
    assert means.ids == ("0", "1", "2", "3", "4")
    np.testing.assert_allclose(means.values, matrix.reshape(5, 4, WIDTH).mean(axis=1), atol=1e-6)


def test_a_matrix_of_an_h5ad_file_is_chosen_by_name(tmp_path: Path) -> None:
    path = tmp_path / "v.h5ad"
    write_h5ad(path, X_subcell=2 * VALUES, X_umap=VALUES[:, :2])
    for name in ("X_subcell", "obsm/X_subcell", "obsm:X_subcell"):
        np.testing.assert_array_equal(read(path, layer=name).values, 2 * VALUES)
    assert read(path).notes == (
        "vectors are X of v.h5ad; not obsm/X_subcell (40 columns), obsm/X_umap (2 columns), which --layer names",
    )
    with pytest.raises(
        UserError, match=r"--layer X_subcel: is no matrix.*v\.h5ad has X \(40 columns\), obsm/X_subcell"
    ):
        read(path, layer="X_subcel")
    with h5py.File(path, "r+") as file:
        del file["X"]
    np.testing.assert_array_equal(read(path).values, 2 * VALUES)  # the map is a picture
    with h5py.File(path, "r+") as file:
        file["obsm/X_other"] = VALUES
    with pytest.raises(UserError, match="has no X; name the vectors with --layer: obsm/X_other"):
        read(path)


def test_compressed_and_integer_matrices_are_read_like_plain_ones(tmp_path: Path) -> None:
    whole = np.round(10 * VALUES)
    for name, settings in (("a", {"dtype": "i4"}), ("b", {"dtype": "f8", "chunks": (3, 7), "compression": "gzip"})):
        with h5py.File(tmp_path / f"{name}.h5ad", "w") as file:
            file.create_dataset("X", data=whole, **settings)
            file["obs/index"] = list(IDS)
        np.testing.assert_array_equal(read(tmp_path / f"{name}.h5ad").values, whole)


def test_a_column_of_lists_is_the_vectors(tmp_path: Path) -> None:
    frame = pd.DataFrame({"name": IDS, "width": 512, "embedding": [row.tolist() for row in VALUES]})
    frame.to_parquet(tmp_path / "v.parquet")
    table = read(tmp_path / "v.parquet")
    assert (table.ids, table.features[:2], len(table.features)) == (IDS, ("f0", "f1"), WIDTH)
    np.testing.assert_array_equal(table.values, VALUES)
    frame.at[7, "embedding"] = [1.0]
    frame.to_parquet(tmp_path / "v.parquet")
    with pytest.raises(UserError, match=r"v\.parquet: row 8 has 1 numbers, and the first 40"):
        read(tmp_path / "v.parquet")
    frame.assign(second=frame["embedding"]).to_parquet(tmp_path / "v.parquet")
    with pytest.raises(UserError, match="several columns could be the vectors: 'embedding', 'second'; name one"):
        read(tmp_path / "v.parquet")


def test_row_names_that_pandas_writes_are_ids(tmp_path: Path) -> None:
    frame = pd.DataFrame(VALUES, columns=FEATURES, index=list(IDS))
    frame.to_csv(tmp_path / "v.csv")
    frame.to_parquet(tmp_path / "v.parquet")  # behind the features, as __index_level_0__
    assert read(tmp_path / "v.csv").ids == read(tmp_path / "v.parquet").ids == IDS
    frame.reset_index(names="image_id").to_csv(tmp_path / "counted.csv")  # 0, 1, 2, … before them
    assert read(tmp_path / "counted.csv").ids == IDS
    assert read(tmp_path / "counted.csv").features == FEATURES
    frame.to_parquet(tmp_path / "none.parquet", index=False)
    with pytest.raises(UserError, match=r"none\.parquet: no column of ids among 'feat0000', .*name it with --per"):
        read(tmp_path / "none.parquet")


def test_arrays_of_an_npz_file_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "v.npz"
    np.savez(
        path, embeddings=VALUES.astype(np.float64), ids=np.array(IDS), features=np.array(FEATURES), y=np.arange(20)
    )
    table = read(path)
    assert (table.ids, table.features) == (IDS, FEATURES)
    np.testing.assert_array_equal(table.values, VALUES)
    np.savez(path, a=VALUES, b=VALUES, ids=np.array(IDS))
    with pytest.raises(UserError, match=r"holds a float32\[20, 40\], b .* is not plain; name it with --layer"):
        read(path)
    np.testing.assert_array_equal(read(path, layer="b").values, VALUES)
    np.savez(path, a=VALUES)
    with pytest.raises(UserError, match=r"v\.npz: an array has no ids; give --ids FILE"):
        read(path)


def test_nothing_that_could_run_code_is_read(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}], dtype=object)
    np.save(tmp_path / "a.npy", objects)
    np.savez(tmp_path / "a.npz", a=objects)
    (tmp_path / "ids").write_text("a\n")
    (tmp_path / "features.pth").write_bytes(b"")
    for name, ids in (("a.npy", tmp_path / "ids"), ("a.npz", None)):
        with pytest.raises(UserError, match="holds Python objects, which could run code and are not read; save an"):
            read(tmp_path / name, ids=ids)
    with pytest.raises(
        UserError, match=r"features\.pth: such a file can run code and is not read; save the numbers as"
    ):
        read(tmp_path / "features.pth")


def cells(extra: dict[str, object] | None = None) -> pd.DataFrame:
    """Return a table with three cells of each of five images."""
    frame = pd.DataFrame({"cell_id": [1, 2, 3] * 5, "image_id": np.repeat(IDS[:5], 3), **(extra or {})})
    return pd.concat([frame, pd.DataFrame(VALUES[:15], columns=FEATURES)], axis=1)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_cells_are_refused_with_the_flag_that_makes_samples_of_them(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cells{suffix}"
    cells().to_csv(path, index=False) if suffix == ".csv" else cells().to_parquet(path)
    with pytest.raises(UserError) as error:
        read(path)
    start = f"{path}: id '800_A6_1' appears 3 times, and 4 more ids do; a sample has one vector. "
    assert str(error.value) == f"{start}Where rows are cells, --per image_id makes each the mean of its rows"
    table = read(path, per="image_id")
    assert (table.ids, table.features) == (IDS[:5], FEATURES)
    np.testing.assert_allclose(table.values, VALUES[:15].reshape(5, 3, WIDTH).mean(axis=1), atol=1e-6)
    assert "15 rows are cells of 5 samples, 3 at most; each is their mean" in table.notes


def test_a_part_of_each_cells_id_is_its_sample(tmp_path: Path) -> None:
    keys = [f"{image}/cell_{number}" for image in IDS[:5] for number in range(3)]
    pd.DataFrame(VALUES[:15], columns=FEATURES, index=keys).to_csv(tmp_path / "cells.csv")
    with pytest.raises(
        UserError, match=r"id 'cell_0' appears 5 times once folders .*'800_A6_1/cell_0'.* --per '\(\.\+\)/'"
    ):
        read(tmp_path / "cells.csv")
    assert read(tmp_path / "cells.csv", per="(.+)/").ids == IDS[:5]
    assert read(tmp_path / "cells.csv", per=r"(\d+_A6_1)").ids == IDS[:5]
    with pytest.raises(UserError, match=r"--per \(9\.\*\): does not fit 15 ids of .*, as '800_A6_1/cell_0'"):
        read(tmp_path / "cells.csv", per="(9.*)")
    with pytest.raises(UserError, match=r"--per image: no such column in .*; name one of .*'feat0000'.*, or write an"):
        read(tmp_path / "cells.csv", per="image")
    with pytest.raises(UserError, match=r"--per \(a\)\(b\): has 2 groups; put"):
        read(tmp_path / "cells.csv", per="(a)(b)")


def test_a_word_in_a_column_of_numbers_is_named_with_its_line(tmp_path: Path) -> None:
    lines = cells().assign(image_id=IDS[:15]).to_csv(index=False).splitlines()
    lines[9] = lines[9].replace(lines[9].split(",")[5], "bad")
    for path in (tmp_path / "v.csv", tmp_path / "v.csv.gz"):
        path.write_bytes(
            gzip.compress("\n".join(lines).encode()) if path.suffix == ".gz" else "\n".join(lines).encode()
        )
        with pytest.raises(UserError, match=r"v\.csv(\.gz)?:10: 'bad' in the column 'feat0003' is no number"):
            read(path)
    (tmp_path / "comma.csv").write_text("id;a;b\nx;0,5;1\n")
    with pytest.raises(UserError, match=r"comma\.csv:2: '0,5' in the column 'a' is no number; write decimals with a p"):
        read(tmp_path / "comma.csv", features="a")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v.xlsx", r"v\.xlsx: \.xlsx is not read; save the table as \.csv, \.parquet or \.h5ad"),
        ("v.h5ad", r"v\.h5ad: no HDF5 file of AnnData, or a damaged one"),
        ("v.parquet", r"v\.parquet: cannot be read"),
        ("v.npz", r"v\.npz: is no file that NumPy has saved"),
        ("v.csv", r"v\.csv: holds no vectors"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_an_error_of_one_line(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).write_text("hello\n")
    with pytest.raises(UserError, match=message) as error:
        read(tmp_path / name)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"no such file|is not read"):
        read(tmp_path / f"absent_{name}")


def test_a_folder_of_files_of_other_lengths_or_kinds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a folder without \.npy files; name a file of vectors"):
        read(tmp_path)
    write_h5ad(tmp_path / "embeddings.h5ad")
    with pytest.raises(UserError, match=r"a folder without \.npy files; name the file: --vectors .*embeddings\.h5ad"):
        read(tmp_path)
    np.save(tmp_path / "a.npy", VALUES[0])
    np.save(tmp_path / "b.npy", VALUES[0, :7])
    with pytest.raises(UserError, match=r"b\.npy: 7 numbers, and a\.npy has 40; vectors are of one length"):
        read(tmp_path)
    np.save(tmp_path / "b.npy", VALUES)
    with pytest.raises(UserError, match=r"b\.npy: float32 of shape \(20, 40\); in a folder each file holds one vector"):
        read(tmp_path)


def test_a_large_table_is_mapped_from_a_file_and_has_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpa_hier.data.vectors.growing.GrowingRows.__init__.__defaults__", (1000,))
    monkeypatch.setattr("hpa_hier.data.vectors.delimited.count_block_rows", partial(count_block_rows, most_bytes=1000))
    subcell_table().to_csv(tmp_path / "v.csv", index=False)
    table = read(tmp_path / "v.csv")
    assert isinstance(table.values.base, np.memmap)
    np.testing.assert_array_equal(table.values, VALUES)
    cells().to_csv(tmp_path / "cells.csv", index=False)
    means = read(tmp_path / "cells.csv", per="image_id")
    np.testing.assert_allclose(means.values, VALUES[:15].reshape(5, 3, WIDTH).mean(axis=1), atol=1e-6)


def test_a_folder_that_may_not_be_listed_is_not_read_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    for file in ("a.npy", "closed/b.npy"):
        np.save(tmp_path / file, np.ones(3, np.float32))
    real = os.scandir

    def scandir(path: str | Path = ".") -> object:
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError, match="closed"):
        read_vectors(VectorSource(tmp_path))
