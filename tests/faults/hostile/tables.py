"""Tables of vectors and labels of others: changed at random, made to cost much, or to lead elsewhere."""

from __future__ import annotations

import gzip
import io
import os
import random
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from faults.forked import call
from faults.hostile.damage import change_bytes
from faults.hostile.images import limited_memory
from faults.tally import Tally
from scipy import sparse

SECONDS = 2.0  # of processor time that a table may take
_BATCH = 100  # tables that one child reads
_ROWS, _WIDTH = 8, 4
_IDS = [f"s{i}" for i in range(_ROWS)]
_TAXONOMY = "taxonomy: t\nlevels: {leaf: leaves}\ntree:\n  A: {label: 1}\n  B: {label: 2}\n"
_SECRET = b"secret"
VECTORS = (".npy", ".npz", ".h5ad", ".parquet", ".feather", ".csv", ".tsv", ".csv.gz")
LABELS = (".h5ad", ".parquet", ".feather", ".csv", ".csv.gz")


def draw_numbers() -> np.ndarray:
    """Return (B, F) float32 numbers."""
    return np.random.default_rng(0).normal(size=(_ROWS, _WIDTH)).astype(np.float32)


def draw_tables() -> dict[str, list[bytes]]:
    """Return sound files of each format."""
    values = draw_numbers()
    frame = pd.DataFrame({"id": _IDS, "target": ["1", "2"] * 4, **{f"f{j}": values[:, j] for j in range(_WIDTH)}})
    names = np.array(_IDS)
    text = frame.to_csv(index=False).encode()
    whole = frame.to_csv(index=False, sep="\t").encode()

    def written(write: Callable[[io.BytesIO], Any]) -> bytes:
        file = io.BytesIO()
        write(file)
        return file.getvalue()

    return {
        ".npy": [written(lambda file: np.save(file, values)), written(lambda file: np.save(file, values.astype(int)))],
        ".npz": [
            written(lambda file: np.savez(file, X=values, ids=names)),
            written(lambda file: np.savez_compressed(file, X=values, ids=names)),
        ],
        ".h5ad": [
            make_h5ad(values),
            make_h5ad(values, compression="gzip"),
            make_h5ad(sparse.csr_matrix(values)),
            make_h5ad(sparse.csc_matrix(values)),
        ],
        ".parquet": [
            written(lambda file: frame.to_parquet(file)),
            written(lambda file: frame.to_parquet(file, compression="gzip")),
        ],
        ".feather": [written(lambda file: frame.to_feather(file))],
        ".csv": [text],
        ".tsv": [whole],
        ".csv.gz": [gzip.compress(text)],
    }


def make_h5ad(values: Any, change: Callable[[h5py.File], object] | None = None, **options: object) -> bytes:
    """Return an .h5ad file of vectors and labels, in which something is changed then."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        if sparse.issparse(values):
            matrix = file.create_group("X")
            matrix.attrs["encoding-type"] = f"{values.format}_matrix"
            matrix.attrs["shape"] = values.shape
            for name in ("data", "indices", "indptr"):
                matrix[name] = getattr(values, name)
        else:
            file.create_dataset("X", data=values, **options)
        obs, var = file.create_group("obs"), file.create_group("var")
        for frame, names in ((obs, _IDS), (var, [f"f{j}" for j in range(_WIDTH)])):
            frame.attrs["_index"] = "_index"
            frame["_index"] = np.array(names, dtype="S5")
        labels = obs.create_group("target")
        labels["categories"] = np.array(["1", "2"], dtype="S1")
        labels["codes"] = np.array([0, 1] * 4, dtype="i1")
        if change:
            change(file)
    return content.getvalue()


def try_changed(scratch: Path, times: int, seed: int = 13) -> Tally:
    """Read changed tables, as vectors and as labels: each is taken, or refused in a line, at once."""
    tally = Tally()
    cases = [(kind, suffix) for kind, suffixes in (("vectors", VECTORS), ("labels", LABELS)) for suffix in suffixes]
    each = max(1, times // len(cases))
    for kind, suffix in cases:
        for number, start in enumerate(range(0, each, _BATCH)):
            size = min(_BATCH, each - start)
            tally.tries += size
            name = f"{seed}{kind}{suffix}{number}"
            try:
                found = call(lambda k=kind, s=suffix, n=size, name=name: _read_batch(scratch, k, s, n, name))
            except RuntimeError as error:
                found = [f"{kind} {suffix}, batch {number}: {error}"]
            tally.failures += found
    return tally


def _read_batch(scratch: Path, kind: str, suffix: str, times: int, seed: str) -> list[str]:
    rng, bases, failures = random.Random(seed), draw_tables()[suffix], []
    path = scratch / f"changed{suffix}"
    _prepare(scratch)
    for _ in range(times):
        content = change_bytes(rng.choice(bases), rng)
        path.write_bytes(content)
        if found := judge(kind, path):
            failures.append(f"{kind} {suffix}: {found}")
            (scratch / f"kept-{kind}-{len(failures)}{suffix}").write_bytes(content)
    return failures


def _prepare(scratch: Path) -> None:
    (scratch / "ids.txt").write_text("\n".join(_IDS))
    (scratch / "t.yaml").write_text(_TAXONOMY)


def judge(kind: str, path: Path) -> str:
    """Return what is wrong with how a table was read or refused; "" where nothing is."""
    from hpa_hier.errors import UserError
    from hpa_hier.files.faults.shown import show_error

    for _ in range(3):  # a second of a processor does less where others share it
        began = time.process_time()
        try:
            taken = _read(kind, path)
            if _SECRET.decode() in taken:
                return f"reads another file: {taken[:200]}"
        except UserError as error:
            shown = show_error(str(error))
            if "\n" in shown and not shown.partition("\n")[2].startswith("  "):
                return f"refused in several lines: {shown[:300]!r}"
        except BaseException:
            return traceback.format_exc()[-900:]
        if (seconds := time.process_time() - began) <= SECONDS:
            return ""
    return f"takes {seconds:.1f} s"


def _read(kind: str, path: Path) -> str:
    """Read a table, and return what it was taken for as text."""
    from hpa_hier.data.labels.table import read_labels
    from hpa_hier.data.vectors.read import read_vectors
    from hpa_hier.data.vectors.source import VectorSource
    from hpa_hier.taxonomy import Taxonomy

    if kind == "vectors":
        table = read_vectors(VectorSource(path, ids=path.parent / "ids.txt" if path.suffix == ".npy" else None))
        values = np.asarray(table.values)
        hidden = _SECRET.decode() if np.frombuffer(_SECRET[:4], np.float32)[0] in values else ""
        return f"{table.ids[:20]} {hidden}"
    labels = read_labels(path, Taxonomy.load(path.parent / "t.yaml"), on_problem="skip")
    return f"{labels.ids[:20]}"


def try_crafted(scratch: Path, costly: bool = True) -> Tally:
    """Read each crafted table in a child of its own, or in this process those that do not cost much."""
    tally = Tally()
    _prepare(scratch)
    (scratch / "secret.bin").write_bytes(_SECRET[:4] * _ROWS * _WIDTH)
    secret = np.full((_ROWS, _WIDTH), np.frombuffer(_SECRET[:4], np.float32)[0])
    with h5py.File(scratch / "secret.h5", "w") as file:
        file["X"], file["names"] = secret, np.array([f"secret{i}" for i in range(_ROWS)], dtype="S9")
    np.save(scratch / "secret.npy", secret[0])
    crafted = [*list_astray(scratch), *(list_costly() if costly else ())]
    for name, suffix, make in crafted:
        path = scratch / f"crafted-{tally.tries}{suffix}"
        make(path)
        for kind in ("vectors", "labels") if suffix in LABELS else ("vectors",):

            def read(kind: str = kind, path: Path = path) -> str:
                with limited_memory():
                    return judge(kind, path)

            try:
                found = call(read, 60) if costly else judge(kind, path)
            except RuntimeError as error:
                found = str(error)
            tally.add(not found, f"{name} as {kind}: {found}")
    return tally


def list_astray(scratch: Path) -> Iterator[tuple[str, str, Callable[[Path], object]]]:
    """Yield tables that lead elsewhere, or claim what is not there: a name, a suffix, and what writes it."""
    values = draw_numbers()

    def h5ad(change: Callable[[h5py.File], object]) -> Callable[[Path], object]:
        return lambda path: path.write_bytes(make_h5ad(values, change))

    def replace(name: str, link: object) -> Callable[[h5py.File], object]:
        def change(file: h5py.File) -> None:
            del file[name]
            file[name] = link

        return change

    def claim(name: str, shape: tuple[int, ...], kind: str) -> Callable[[h5py.File], object]:
        def change(file: h5py.File) -> None:
            del file[name]
            chunks = tuple(min(side, 1024) for side in shape)
            file.create_dataset(name, shape, kind, chunks=chunks, compression="gzip")

        return change

    def virtual(file: h5py.File) -> None:
        del file["X"]
        layout = h5py.VirtualLayout((_ROWS, _WIDTH), "f4")
        layout[:] = h5py.VirtualSource(str(scratch / "secret.h5"), "X", (_ROWS, _WIDTH))
        file.create_virtual_dataset("X", layout)

    def external(file: h5py.File) -> None:
        del file["X"]
        where = [(str(scratch / "secret.bin"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("X", (_ROWS, _WIDTH), "f4", external=where)

    yield "X linked to another file", ".h5ad", h5ad(replace("X", h5py.ExternalLink("secret.h5", "/X")))
    yield "ids linked to another file", ".h5ad", h5ad(replace("obs/_index", h5py.ExternalLink("secret.h5", "/names")))
    yield "X virtual, of another file", ".h5ad", h5ad(virtual)
    yield "X in a file of raw numbers", ".h5ad", h5ad(external)
    yield "a link in a circle", ".h5ad", h5ad(replace("X", h5py.SoftLink("/X")))
    yield "a group in itself", ".h5ad", h5ad(lambda file: file.__setitem__("obsm", file["/"]))
    yield "codes without words", ".h5ad", h5ad(lambda file: file["obs/target/codes"].__setitem__(0, 77))
    yield "obs that is no frame", ".h5ad", h5ad(replace("obs", np.arange(8)))
    yield "8 rows of 2 × 10^8", ".h5ad", h5ad(claim("X", (_ROWS, 200_000_000), "f4"))
    yield "2 × 10^9 rows", ".h5ad", h5ad(claim("X", (2_000_000_000, _WIDTH), "f4"))
    yield "2 × 10^9 ids", ".h5ad", h5ad(claim("obs/_index", (2_000_000_000,), "S5"))
    yield "2 × 10^9 codes", ".h5ad", h5ad(claim("obs/target/codes", (2_000_000_000,), "i1"))
    matrix = sparse.csr_matrix(values)
    for name, part, changed in (
        ("places past the columns", "indices", np.full(matrix.nnz, 10**6)),
        ("places below 0", "indices", np.full(matrix.nnz, -(10**6))),
        ("ends past the numbers", "indptr", np.array([0, *[10**9] * _ROWS])),
        ("ends that fall", "indptr", np.array([0, 9, 2, 9, 2, 9, 2, 9, matrix.nnz])),
        ("ends of another number of rows", "indptr", np.array([0, matrix.nnz])),
    ):
        for form in ("csr", "csc"):
            yield (
                f"{form}, {name}",
                ".h5ad",
                lambda path, form=form, part=part, changed=changed: path.write_bytes(
                    make_h5ad(matrix.asformat(form), replace(f"X/{part}", changed))
                ),
            )
    yield from _list_arrays(scratch, values)


def list_costly() -> Iterator[tuple[str, str, Callable[[Path], object]]]:
    """Yield tables that are made to cost much."""
    zeros = io.BytesIO()
    np.save(zeros, np.zeros((_ROWS, 40_000_000), np.float32))
    columns = make_h5ad(draw_numbers(), lambda file: [file["obs"].create_group(f"c{i}") for i in range(30_000)])
    yield "30,000 columns", ".h5ad", lambda path: path.write_bytes(columns)
    yield "1.2 GB of zeros", ".npz", lambda path: _pack_array(path, zeros.getvalue())
    yield "10^7 columns", ".csv", lambda path: path.write_bytes(b"id" + b",f" * 10_000_000 + b"\n")
    yield "a cell of 10 MB", ".csv", lambda path: path.write_bytes(b"id,target\n" + b"x" * 10_000_000 + b",1\n")
    yield "quotes without end", ".csv", lambda path: path.write_bytes(b'id,target\n"' + b"x,1\n" * 1_000_000)
    yield "10^6 quotes", ".csv", lambda path: path.write_bytes(b"id,target\n" + b'"' * 1_000_001)
    yield "separators", ".csv", lambda path: path.write_bytes(b",;\t|" * 1_000_000)
    yield "500 MB of zeros", ".csv.gz", lambda path: path.write_bytes(gzip.compress(bytes(500 << 20)))
    yield "500 MB of line ends", ".csv.gz", lambda path: path.write_bytes(gzip.compress(b"\n" * (500 << 20)))
    yield (
        "500 MB of rows",
        ".csv.gz",
        lambda path: path.write_bytes(gzip.compress(b"id,target\n" + b"a,1\n" * (125 << 20))),
    )


def _pack_array(path: Path, content: bytes, kind: int = zipfile.ZIP_DEFLATED) -> None:
    """Write an .npz file of an array and its ids."""
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("X.npy", content)
        ids = io.BytesIO()
        np.save(ids, np.array(_IDS))
        archive.writestr("ids.npy", ids.getvalue())


def _list_arrays(scratch: Path, values: np.ndarray) -> Iterator[tuple[str, str, Callable[[Path], object]]]:
    file = io.BytesIO()
    np.save(file, values)
    sound = file.getvalue()

    def header(text: bytes) -> Callable[[Path], object]:
        content = b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text + values.tobytes()
        return lambda path: path.write_bytes(content)

    def encrypted(path: Path) -> None:
        _pack_array(path, sound)
        content = bytearray(path.read_bytes())
        content[6] |= 1
        content[content.index(b"PK\x01\x02") + 8] |= 1
        path.write_bytes(content)

    def folder(fill: Callable[[Path], object]) -> Callable[[Path], object]:
        def write(path: Path) -> None:
            path.mkdir()
            fill(path / "a.npy")

        return write

    yield "a header that does not end", ".npy", header(b"{'descr': '<f4', 'shape': (8, ")
    yield "a header nested 9,000 deep", ".npy", header(b"(" * 9000)
    yield "a header of 10^12", ".npy", header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (8, 125000000000)}")
    yield "a header below 0", ".npy", header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-8, -4)}")
    yield "an array encrypted", ".npz", encrypted
    yield "an array by LZMA", ".npz", lambda path: _pack_array(path, sound, zipfile.ZIP_LZMA)
    yield "a pipe", ".npz", os.mkfifo
    yield "a folder with a pipe", "", folder(os.mkfifo)
    yield "a folder with a link out of it", "", folder(lambda path: path.symlink_to(scratch / "secret.npy"))
