"""Probabilities in every format: the same numbers, to the last bit where the format is binary, however they come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpa_hier.errors import UserError
from hpa_hier.predict.formats import probabilities as module
from hpa_hier.predict.formats.probabilities import FORMATS, check_format, open_probabilities
from hpa_hier.predict.formats.rows import COLUMNS, Rows
from hpa_hier.taxonomy import Taxonomy

TREE = Taxonomy.from_text(
    "{taxonomy: t, levels: {coarse: 1, leaf: leaves}, tree: "
    "{A: {B: {label: 1, go: 'GO:0005654'}, C: {label: 2}}, D: {E: {label: 3, also_under: [A]}}}}"
)


def draw_rows(count: int) -> Rows:
    rng = np.random.default_rng(0)
    columns = {
        name: rng.random(count).tolist() if name.startswith("prob_") else [f"{name} {i} µ" for i in range(count)]
        for name in COLUMNS
    }
    return Rows(columns, ("",) * count, rng.random((count, len(TREE.nodes))))


def write(path: Path, rows: Rows, *ends: int) -> Path:
    with open_probabilities(path, TREE) as writer:
        for start, end in zip((0, *ends), (*ends, len(rows)), strict=True):
            writer.add(rows.take(range(start, end)))
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_the_file_is_the_same_in_one_piece_and_in_many(name: str, tmp_path: Path) -> None:
    rows = draw_rows(20)
    one, many = write(tmp_path / f"one.{name}", rows), write(tmp_path / f"many.{name}", rows, 1, 7, 8)
    np.testing.assert_array_equal(read(one), read(many))
    np.testing.assert_allclose(read(one), rows.probs, atol=0 if name != "csv" else 5e-7)


def test_parquet_opens_in_pandas_with_ids_and_nodes(tmp_path: Path) -> None:
    rows = draw_rows(3)
    frame = pd.read_parquet(write(tmp_path / "p.parquet", rows), engine="pyarrow").set_index("id")
    assert tuple(frame.index) == rows.ids
    assert tuple(frame.columns) == TREE.nodes


def test_parquet_is_written_in_groups_that_do_not_wait_for_the_end(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = draw_rows(20000)
    path = write(tmp_path / "p.parquet", rows, 9000, 18000)
    assert parquet.ParquetFile(path).num_row_groups == 3


def test_h5ad_describes_samples_and_nodes(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    rows = draw_rows(4)
    with h5py.File(write(tmp_path / "p.h5ad", rows, 2)) as file:
        assert (file.attrs["encoding-type"], file["X"].shape) == ("anndata", (4, 5))
        assert file["obs/_index"].asstr()[:].tolist() == list(rows.ids)
        assert file["obs/labels"].asstr()[:].tolist() == list(rows.columns["labels"])
        assert file["obs/prob_1"][:].tolist() == list(rows.columns["prob_1"])
        assert file["var/_index"].asstr()[:].tolist() == ["A", "B", "C", "D", "E"]
        assert file["var/go"].asstr()[:].tolist() == ["", "GO:0005654", "", "", ""]
        assert file["var/level"].asstr()[:].tolist() == ["coarse", "leaf", "leaf", "coarse", "leaf"]
        assert file["var/parent"].asstr()[:].tolist() == ["", "A", "A", "", "A|D"]
        assert list(file["obs"].attrs["column-order"]) == list(COLUMNS[1:])


def test_anndata_reads_what_is_written(tmp_path: Path) -> None:
    anndata = pytest.importorskip("anndata", reason="anndata is not installed; it holds pandas below 3")
    rows = draw_rows(4)
    read = anndata.read_h5ad(write(tmp_path / "p.h5ad", rows))
    np.testing.assert_array_equal(read.X, rows.probs)
    assert tuple(read.obs_names) == rows.ids
    assert tuple(read.var_names) == TREE.nodes


@pytest.mark.parametrize(("name", "library"), [("parquet", "pyarrow"), ("h5ad", "h5py")])
def test_a_format_without_its_library_names_the_extra(name: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda asked: None)
    with pytest.raises(UserError, match=rf"--format {name}: needs {library}, .*; pip install 'hpa-hier\[{name}\]'"):
        check_format(name)
    check_format("csv")


def read(path: Path) -> np.ndarray:
    if path.suffix == ".h5ad":
        import h5py

        with h5py.File(path) as file:
            return np.asarray(file["X"][:])
    frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path, engine="pyarrow")
    return frame.drop(columns="id").to_numpy()
