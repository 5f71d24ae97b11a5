"""What a prediction of very many images costs beside its networks: scanning, shards, merging.

    python benchmarks/shards.py [--counts 10000 30000 100000] [--shard-size 64] [--only PART ...]

Each part runs in a process of its own, with one thread, on synthetic answers of the bundled ensemble's tree. Prints the
processor time, the most memory held above an empty start, both per image, and what a million images take along the line
through the last two counts. `scan` lists four empty files an image, cuts them into shards and looks at each file's
size and time, as every process that shares a prediction does; `keep` writes the shards, with a lock each; `merge`
reads them and writes the tables, once; formats other than csv are merged too where their library is installed.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CHANNELS = ("red", "green", "blue", "yellow")
PARTS = ("scan", "keep", "merge", "merge-parquet")
MILLION = 1_000_000


def make_rows(ids: Sequence[str], nodes: int):
    """Return answers as long as real ones, drawn."""
    from hpa_hier.predict.formats.rows import COLUMNS, Rows

    rng = np.random.default_rng(len(ids))
    texts = {"labels": "Nucleoplasm|Cytosol", "groups": "Nucleus|Cytoplasm", "safe": "Nucleus", "file": "/data/x.png"}
    columns = {
        name: rng.random(len(ids)).tolist()
        if name.startswith("prob_")
        else list(ids)
        if name == "id"
        else [texts.get(name, "Nucleoplasm")] * len(ids)
        for name in COLUMNS
    }
    return Rows(columns, ("0 25",) * len(ids), rng.random((len(ids), nodes)))


def cut(count: int, size: int) -> Iterator[list[str]]:
    """Yield the ids of each shard."""
    for start in range(0, count, size):
        yield [f"image-{i:07d}" for i in range(start, min(start + size, count))]


def run_part(part: str, count: int, size: int, folder: Path) -> None:
    """Run one part in this process, and print its processor time and memory above what it began with."""
    from hpa_hier.data.images.scan import scan
    from hpa_hier.predict.shards.shard_file import Shard, read_shard, write_shard
    from hpa_hier.predict.shards.shards import _describe_files, open_shards
    from hpa_hier.predict.shards.workers import drop_lock, try_lock
    from hpa_hier.predict.tables import open_tables
    from hpa_hier.runs.run import Run

    tree = Run.open("pretrained").ensemble.taxonomy
    nodes = len(tree.without_virtual.nodes)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    if part == "scan":
        found = scan(folder / "images")
        with open_shards(folder / "scanned", {}, overwrite=True, size=size) as kept:
            kept.plan(found.sources, lambda chunks: iter(()), size)
            for source in found.sources:
                _describe_files(source)
    elif part == "keep":
        for number, ids in enumerate(cut(count, size)):
            lock = try_lock(folder / f"{number:08d}.lock")
            files = dict.fromkeys(ids, "|".join(f"image_{c}.png:123456:1700000000000000000" for c in CHANNELS))
            write_shard(folder / f"{number:08d}.npz", Shard(make_rows(ids, nodes), (), files))
            drop_lock(lock)
    else:
        form = part.partition("-")[2] or "csv"
        with open_tables(folder / form, tree, None, form) as tables:
            for path in sorted(folder.glob("*.npz")):
                tables.add(read_shard(path).rows)
    spent = time.process_time() - began
    print(spent, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def measure(part: str, count: int, size: int, folder: Path) -> tuple[float, float]:
    """Run one part in a process of its own; return seconds of processor time and megabytes."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    line = [sys.executable, __file__, "--part", part, "--counts", str(count), "--shard-size", str(size)]
    environment = {**os.environ, **threads, "PYTHONPATH": str(ROOT)}
    printed = subprocess.run(
        [*line, "--folder", str(folder)], env=environment, check=True, capture_output=True, text=True
    )
    seconds, megabytes = printed.stdout.split()[-2:]
    return float(seconds), float(megabytes)


def main() -> None:
    """Measure every part at every count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--shard-size", type=int, default=64)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="merging needs keep")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.part:
        run_part(options.part, options.counts[0], options.shard_size, options.folder)
        return
    costs: dict[str, list[tuple[float, float]]] = {part: [] for part in options.only}
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            images = Path(folder) / "images"
            images.mkdir()
            for (sample,) in cut(count, 1) if "scan" in options.only else ():
                for channel in CHANNELS:
                    (images / f"{sample}_{channel}.png").touch()
            for part in options.only:
                costs[part].append(measure(part, count, options.shard_size, Path(folder)))
                seconds, megabytes = costs[part][-1]
                print(
                    f"{part:14} {count:9,} {seconds:8.1f} s {seconds / count * 1e3:7.3f} ms/image {megabytes:7.0f} MB",
                    flush=True,
                )
    if len(options.counts) > 1:
        (first, last) = options.counts[-2:]
        for part, values in costs.items():
            ends = [
                one[1] + (one[1] - one[0]) / (last - first) * (MILLION - last) for one in zip(*values[-2:], strict=True)
            ]
            print(f"{part:14} at a million: {ends[0]:7.0f} s, {ends[1]:7.0f} MB")


if __name__ == "__main__":
    main()
