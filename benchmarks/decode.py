"""How fast images are decoded and shrunk: this package's reading beside Pillow's.

    python benchmarks/decode.py --images DIR [--size PX] [--repeats N]

Prints images a second of one core's time, the best of the repeats, over the PNGs and JPEGs of the folder: decoding
alone, and decoding with shrinking to one plane of --size. The two take turns, so that another load hits both alike.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from PIL import Image

from hpa_hier.data.images.formats.png_jpeg import PngJpegReader
from hpa_hier.data.images.read import convert_plane


def ours(file: Path, size: int | None) -> np.ndarray:
    """Check, decode, and shrink by area."""
    image = PngJpegReader().read(file).max(axis=0)  # the largest component of a coloured image
    return image if size is None else convert_plane(image, size, "depth")


def pillow(file: Path, size: int | None) -> np.ndarray:
    """Decode and shrink with Pillow."""
    with Image.open(file) as opened:
        opened.load()
        image = opened if size is None else opened.resize((size, size), Image.Resampling.BOX)
        pixels = np.asarray(image)
        return pixels if pixels.ndim == 2 else pixels.max(axis=2)


def rates(ways: dict[str, Callable[[Path], object]], files: Sequence[Path], repeats: int) -> dict[str, float]:
    """Return each way's best rate in images a second."""
    best = dict.fromkeys(ways, 0.0)
    for _ in range(repeats):
        for name, way in ways.items():
            began = time.process_time()
            for file in files:
                way(file)
            best[name] = max(best[name], len(files) / (time.process_time() - began))
    return best


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR")
    parser.add_argument("--size", type=int, default=128, metavar="PX", help="side of the shrunk plane (default: 128)")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="(default: 5)")
    options = parser.parse_args()
    files = [file for file in sorted(options.images.iterdir()) if file.suffix.lower() in (".png", ".jpg", ".jpeg")]
    if not files:
        parser.error(f"--images {options.images}: no PNG or JPEG in it")
    cv2.setNumThreads(1)
    size = sum(file.stat().st_size for file in files) / len(files) / 1000
    print(f"{len(files)} files of {size:.0f} kB on average, one core, best of {options.repeats}")
    for what, side in (("decode", None), (f"decode and shrink to {options.size}", options.size)):
        found = rates(
            {"ours": lambda file, s=side: ours(file, s), "pillow": lambda file, s=side: pillow(file, s)},
            files,
            options.repeats,
        )
        ratio = found["ours"] / found["pillow"]
        print(f"{what:28} ours {found['ours']:7.0f}/s   Pillow {found['pillow']:7.0f}/s   {ratio:.2f}×")


if __name__ == "__main__":
    main()
