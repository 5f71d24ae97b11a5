"""How fast a pack gives batches: beside a plain memory copy, and beside decoding image files each time.

    python benchmarks/pack_read.py [--images DIR] [--count N] [--size PX] [--batch N]

Writes a pack of noise to a temporary folder, reads random batches from it into one reused buffer and into fresh arrays,
and copies blocks of an array in memory for comparison. With --images, decoding and shrinking that folder's files is
measured too, at as many files a sample as the pack has channels. Prints samples a second of one core's time, the best
of seven rounds in which the ways take turns.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from hpa_hier.data.images.formats.png_jpeg import PngJpegReader
from hpa_hier.data.images.read import convert_plane
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.pack.simulated_pack import write_simulated_pack
from hpa_hier.taxonomy import Taxonomy

CHANNELS = ("red", "green", "blue", "yellow")


def noise(count: int, size: int) -> Iterator[np.ndarray]:
    """Yield images (4, size, size) uint8."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield rng.integers(0, 256, (len(CHANNELS), size, size), dtype=np.uint8)


def make_pack(folder: Path, count: int, size: int) -> Pack:
    """Write a pack of noise and open it."""
    tree = Taxonomy.load("hierarchy/hpa28.yaml")
    ids = [f"n{i}" for i in range(count)]
    write_simulated_pack(
        folder, noise(count, size), ids, [tree.leaves[:1]] * count, [""] * count, CHANNELS, tree, "noise"
    )
    return Pack.open(folder)


def rates(
    ways: dict[str, Callable[[np.ndarray], object]], batches: list[np.ndarray], repeats: int = 7
) -> dict[str, float]:
    """Return each way's best rate in samples a second; the ways take turns, so that another load hits all alike."""
    best = dict.fromkeys(ways, 0.0)
    for _ in range(repeats):
        for name, way in ways.items():
            began = time.process_time()
            for rows in batches:
                way(rows)
            best[name] = max(best[name], sum(map(len, batches)) / (time.process_time() - began))
    return best


def decode_rate(folder: Path, size: int) -> float:
    """Return samples a second when each sample's channel files are decoded and shrunk."""
    files = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in (".png", ".jpg", ".jpeg")]
    began = time.process_time()
    for file in files:
        convert_plane(PngJpegReader().read(file).max(axis=0), size, "depth")
    return len(files) / len(CHANNELS) / (time.process_time() - began)


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of channel files to decode for comparison")
    parser.add_argument("--count", type=int, default=2000, metavar="N", help="samples in the pack (default: 2000)")
    parser.add_argument("--size", type=int, default=256, metavar="PX", help="side of an image (default: 256)")
    parser.add_argument("--batch", type=int, default=32, metavar="N", help="samples a batch (default: 32)")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        pack = make_pack(Path(folder) / "pack", options.count, options.size)
        order = np.random.default_rng(1).permutation(len(pack))
        batches = [order[start : start + options.batch] for start in range(0, len(order), options.batch)]
        batches = [rows for rows in batches if len(rows) == options.batch]
        out = np.empty((options.batch, len(CHANNELS), options.size, options.size), np.uint8)
        held = pack.images(np.arange(len(pack)))
        ways: dict[str, Callable[[np.ndarray], object]] = {
            "pack into a reused buffer": lambda rows: pack.images(rows, out),
            "pack into fresh memory": lambda rows: pack.images(rows),
            "copy of whole blocks": lambda rows: np.copyto(
                out, held[(start := rows[0] % (len(held) - len(rows))) : start + len(rows)]
            ),
        }
        found = rates(ways, batches)
        if options.images:
            found[f"decoding {len(CHANNELS)} files a sample"] = decode_rate(options.images, options.size)
    print(f"{options.count} samples of {len(CHANNELS)} × {options.size} × {options.size}, batches of {options.batch}")
    fastest = found["pack into a reused buffer"]
    for name, value in found.items():
        gigabytes = value * len(CHANNELS) * options.size**2 / 2**30
        print(f"{name:28} {value:9.0f} samples/s {gigabytes:7.2f} GiB/s   pack is {fastest / value:7.1f}×")


if __name__ == "__main__":
    main()
