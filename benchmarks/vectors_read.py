"""How fast tables of vectors are read, and in how much memory: beside pandas, pyarrow and h5py alone.

    python benchmarks/vectors_read.py [--rows N] [--features N] [--cells N] [--formats FORMAT ...] [--repeats N]

Writes noise (seed 0) in each format to a temporary folder, then reads it back in a process of its own, once by this
package and once by the library alone into one array of float32. Prints the seconds of processor time, the best of
--repeats, and the most memory that the process held for itself beyond what it held before: anonymous pages, without
those mapped from files. `means` are read with --per, at --cells rows a sample.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from hpa_hier.data.vectors.read import read_vectors
from hpa_hier.data.vectors.source import VectorSource

BLOCK = 1000  # rows that are written at a time
FORMATS = ("csv", "parquet", "h5ad", "h5ad, gzip", "h5ad, csr", "npy", "means")  # means: of X in h5ad


def name_file(kind: str) -> str:
    """Return the file that a format is written to."""
    known = {"means": "v.h5ad", "h5ad, gzip": "gzip.h5ad", "h5ad, csr": "csr.h5ad"}
    return known.get(kind, f"v.{kind}")


def write_files(folder: Path, rows: int, features: int, cells: int, kinds: list[str]) -> None:
    """Write the same noise in each format; of the sparse one, nine tenths are zeros."""
    import pyarrow
    from pyarrow import parquet

    generator, names = np.random.default_rng(0), [f"feat{j:04d}" for j in range(features)]
    ids = [f"s{i:07d}" for i in range(rows)]
    (folder / "ids.txt").write_text("\n".join(ids))
    values = np.lib.format.open_memmap(folder / "v.npy", "w+", np.float32, (rows, features))
    columns = [("id", pyarrow.string())] + [(name, pyarrow.float32()) for name in names]
    schema = pyarrow.schema(columns)
    with (
        h5py.File(folder / "v.h5ad", "w") as plain,
        h5py.File(folder / "gzip.h5ad", "w") as packed,
        parquet.ParquetWriter(folder / "v.parquet", schema) as writer,
    ):
        into = [plain.create_dataset("X", (rows, features), np.float32)]
        if "h5ad, gzip" in kinds:
            settings = {"chunks": (64, features), "compression": "gzip"}
            into.append(packed.create_dataset("X", (rows, features), np.float32, **settings))
        for file in (plain, packed):
            file["obs/_index"] = ids
            file["obs/image"] = [f"i{i // cells}" for i in range(rows)]
        for first in range(0, rows, BLOCK):
            part = slice(first, min(first + BLOCK, rows))
            values[part] = generator.normal(size=(part.stop - part.start, features))
            for dataset in into:
                dataset[part] = values[part]
            if not {"csv", "parquet"} & {*kinds}:
                continue
            frame = pd.DataFrame(values[part], columns=names)
            frame.insert(0, "id", ids[part])
            if "csv" in kinds:
                frame.to_csv(folder / "v.csv", index=False, mode="a", header=first == 0)
            writer.write_table(pyarrow.Table.from_pandas(frame, schema, preserve_index=False))
    if "h5ad, csr" not in kinds:
        return
    held = sparse.csr_matrix(np.where(values > 1.2816, values, 0))
    with h5py.File(folder / "csr.h5ad", "w") as file:
        group = file.create_group("X")
        group.attrs["encoding-type"], group.attrs["shape"] = "csr_matrix", held.shape
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(held, name)
        file["obs/_index"] = ids


def read_ours(folder: Path, kind: str) -> np.ndarray:
    """Read a file by this package, and go once through what it gives."""
    ids = folder / "ids.txt" if kind == "npy" else None
    asked = {"per": "image"} if kind == "means" else {}
    return read_vectors(VectorSource(folder / name_file(kind), ids, **asked)).values


def read_alone(folder: Path, kind: str) -> np.ndarray:
    """Read a file by the library for its format."""
    path = folder / name_file(kind)
    if kind == "csv":
        return pd.read_csv(path, index_col=0).to_numpy(np.float32)
    if kind == "parquet":
        return pd.read_parquet(path).drop(columns="id").to_numpy(np.float32)
    if kind == "npy":
        return np.load(path)
    with h5py.File(path) as file:
        if kind == "means":
            frame = pd.DataFrame(file["X"][:])
            return frame.groupby(file["obs/image"].asstr()[:]).mean().to_numpy(np.float32)
        if kind == "h5ad, csr":
            group = file["X"]
            parts = tuple(group[name][:] for name in ("data", "indices", "indptr"))
            return sparse.csr_matrix(parts, group.attrs["shape"]).toarray()
        return np.asarray(file["X"][:])


def anonymous_bytes() -> int:
    """Return the memory that this process holds for itself."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("RssAnon")).split()[1])


def measure(read: Callable[[], np.ndarray]) -> dict[str, float]:
    """Return seconds of processor time and the most bytes held meanwhile, beyond those held before."""
    before, most, done = anonymous_bytes(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            most[0] = max(most[0], anonymous_bytes() - before)

    thread = threading.Thread(target=watch)
    thread.start()
    began = time.process_time()
    values = read()
    seconds = time.process_time() - began
    most[0] = max(most[0], anonymous_bytes() - before)
    done.set()
    thread.join()
    return {"seconds": seconds, "bytes": most[0], "sum": float(np.sum(values, dtype=np.float64))}


def run(folder: Path, kind: str, way: str, repeats: int) -> dict[str, float]:
    """Measure one way in several processes: the best time, the most memory."""
    line = [sys.executable, __file__, "--one", str(folder), kind, way]
    found = [
        json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout) for _ in range(repeats)
    ]
    return {
        **found[0],
        "seconds": min(one["seconds"] for one in found),
        "bytes": max(one["bytes"] for one in found),
    }


def main() -> None:
    """Write the files, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=1536)
    parser.add_argument("--cells", type=int, default=20, help="rows a sample")
    parser.add_argument("--repeats", type=int, default=3, help="processes each")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--one", nargs=3, metavar=("FOLDER", "FORMAT", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        folder, kind, way = Path(options.one[0]), options.one[1], options.one[2]
        read = {"ours": read_ours, "alone": read_alone}[way]
        print(json.dumps(measure(lambda: read(folder, kind))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder, options.rows, options.features, options.cells, options.formats)
        size = 4 * options.rows * options.features / 2**20
        print(f"{options.rows:,} × {options.features:,}, {size:,.0f} MiB of float32")
        print("| format | file, MiB | ours, s | alone, s | ratio | ours, MiB held | alone, MiB held |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for kind in options.formats:
            ours, alone = (run(folder, kind, way, options.repeats) for way in ("ours", "alone"))
            np.testing.assert_allclose(ours["sum"], alone["sum"], rtol=1e-3, atol=1.0)
            size = (folder / name_file(kind)).stat().st_size / 2**20
            held = " | ".join(f"{one['bytes'] / 2**20:,.0f}" for one in (ours, alone))
            times = f"{ours['seconds']:.2f} | {alone['seconds']:.2f} | {ours['seconds'] / alone['seconds']:.2f}"
            print(f"| {kind} | {size:,.0f} | {times} | {held} |", flush=True)


if __name__ == "__main__":
    main()
