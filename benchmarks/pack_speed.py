"""How far reading for a pack is from its limit, which is inflating alone, and how it grows with workers.

    python benchmarks/pack_speed.py --images DIR [--sizes 128 256] [--most 24] [--rounds 9] [--workers 2]

DIR holds one PNG a channel, <id>_red.png and so on; JPEGs and TIFFs are made of the same pixels. Prints milliseconds of
one core's processor time a plane, medians of the rounds, in which the ways take turns; then how much several
threads and processes read at a time. About 40 s for 24 images of four channels of 512².
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from hpa_hier.data.images.exposure import look_at
from hpa_hier.data.images.formats.png_jpeg import PngJpegReader
from hpa_hier.data.images.formats.tiff import TiffReader
from hpa_hier.data.images.kernels.switch import SWITCH, Kernels, compile_kernels
from hpa_hier.data.images.read import convert_plane, read_image
from hpa_hier.data.images.scan import ImageSource, scan

Way = Callable[[], object]


def pillow(file: Path) -> np.ndarray:
    """Decode with Pillow."""
    with Image.open(file) as image:
        return np.asarray(image)


def pillow_shrunk(file: Path, size: int) -> np.ndarray:
    """Decode and shrink with Pillow, averaging as it does."""
    with Image.open(file) as image:
        return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def opencv_shrunk(file: Path, size: int) -> np.ndarray:
    """Decode and shrink with OpenCV, which takes truncated files."""
    plane = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    return np.asarray(cv2.resize(plane, (size, size), interpolation=cv2.INTER_AREA))


def verify(file: Path) -> None:
    """Compare a PNG's checksums with Pillow."""
    with Image.open(file) as image:
        image.verify()


def ours_shrunk(file: Path, size: int) -> np.ndarray:
    """Check, decode and shrink."""
    return convert_plane(PngJpegReader().read(file)[0], size, "depth")


def find_pixels(file: Path) -> bytes:
    """Return the packed pixels of a PNG."""
    data, at, parts = file.read_bytes(), 8, []
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IDAT":
            parts.append(data[at + 8 : at + 8 + length])
        at += 12 + length
    return b"".join(parts)


def measure(ways: dict[str, Way], planes: int, rounds: int) -> dict[str, float]:
    """Return the median milliseconds of processor time a plane of each way, which take turns."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.process_time()
            way()
            spent[name].append((time.process_time() - began) / planes * 1e3)
    return {name: median(times) for name, times in spent.items()}


def show(title: str, times: dict[str, float], peer: str) -> None:
    """Print a table; ratios are to the peer, above 1 is faster."""
    print(f"\n{title}")
    for name, spent in times.items():
        print(f"  {name:58} {spent:6.3f} ms   {times[peer] / spent:5.2f}×")


def with_kernels(kernels: Kernels | None, way: Way) -> Way:
    """Return a way that runs with these kernels, or without."""

    def run() -> None:
        SWITCH.kernels = kernels
        way()

    return run


def each(function: Callable[..., object], items: Sequence[object], *more: object) -> Way:
    """Return a way that calls a function for each item, and keeps no result."""

    def run() -> None:
        for item in items:
            function(item, *more)

    return run


def compare_pngs(sources: Sequence[ImageSource], sizes: Sequence[int], rounds: int, kernels: Kernels) -> None:
    """Measure decoding, shrinking and whole reading."""
    files = [plane.file for source in sources for plane in source.planes.values()]
    packed, raw = [find_pixels(file) for file in files], [zlib.decompress(find_pixels(file)) for file in files]
    read = PngJpegReader().read
    channels = tuple(sources[0].planes)
    room = np.empty(max(map(len, raw)), np.uint8)
    planes = [{name: read(source.planes[name].file)[0] for name in channels} for source in sources]
    checks = {
        "inflate alone, libdeflate (the limit)": each(
            lambda pixels: imagecodecs.deflate_decode(pixels, out=room), packed
        ),
        "inflate alone, zlib": each(zlib.decompress, packed),
        "Pillow": each(pillow, files),
        "OpenCV": each(partial(cv2.imread, flags=cv2.IMREAD_UNCHANGED), list(map(str, files))),
        "this package, every check, without kernels": with_kernels(None, each(read, files)),
        "this package, every check, with kernels": with_kernels(kernels, each(read, files)),
        "  of it Pillow's comparing of checksums (without kernels)": each(verify, files),
        "  of it checksums by libdeflate (with kernels)": each(imagecodecs.deflate_crc32, packed),
        "looks alone, without kernels": with_kernels(None, each(look_at, planes)),
        "looks alone, with kernels": with_kernels(kernels, each(look_at, planes)),
    }
    show("decode a PNG", measure(checks, len(files), rounds), "Pillow")
    for size in sizes:
        shrunk = {
            "Pillow, and averaging to the size": each(pillow_shrunk, files, size),
            "OpenCV, and averaging to the size": each(opencv_shrunk, files, size),
            "this package, without kernels": with_kernels(None, each(ours_shrunk, files, size)),
            "this package, with kernels": with_kernels(kernels, each(ours_shrunk, files, size)),
        }
        for name, found in (("without", None), ("with", kernels)):
            whole = each(lambda source, size=size: read_image(source, size, channels, "depth"), sources)
            shrunk[f"all that a pack does, with looks, {name} kernels"] = with_kernels(found, whole)
        show(f"decode and shrink to {size}²", measure(shrunk, len(files), rounds), "Pillow, and averaging to the size")


def compare_others(sources: Sequence[ImageSource], rounds: int) -> None:
    """Measure JPEGs and TIFFs beside Pillow and tifffile."""
    read = PngJpegReader().read
    SWITCH.kernels = None
    images = [np.stack([read(plane.file)[0] for plane in source.planes.values()]) for source in sources]
    with tempfile.TemporaryDirectory() as folder:
        jpegs, tiffs = [], {kind: [] for kind in ("plain", "deflate", "OME")}
        for number, image in enumerate(images):
            for channel, plane in enumerate(image):
                jpegs.append(Path(folder, f"{number}_{channel}.jpg"))
                Image.fromarray(plane).save(jpegs[-1], quality=90)
            for kind, listed in tiffs.items():
                listed.append(Path(folder, f"{number}_{kind}{'.ome' if kind == 'OME' else ''}.tif"))
                packing = "zlib" if kind == "deflate" else None
                tifffile.imwrite(
                    listed[-1], image, photometric="minisblack", metadata={"axes": "CYX"}, compression=packing
                )
        ways = {"Pillow": each(pillow, jpegs), "this package": each(read, jpegs)}
        show("decode a JPEG of quality 90", measure(ways, len(jpegs), rounds), "Pillow")
        for kind, listed in tiffs.items():
            ways = {
                "tifffile, one thread": each(partial(tifffile.imread, maxworkers=1), listed),
                "this package": each(TiffReader().read, listed),
            }
            show(f"decode a TIFF, {kind}", measure(ways, len(jpegs), rounds), "tifffile, one thread")


def compare_workers(sources: Sequence[ImageSource], most: int, rounds: int, kernels: Kernels) -> None:
    """Measure how much more is read by several threads or processes at a time, beside inflating alone."""
    SWITCH.kernels = kernels
    packed = [find_pixels(plane.file) for source in sources for plane in source.planes.values()] * 4
    most_bytes = 2 * max(len(zlib.decompress(pixels)) for pixels in packed[: len(sources)])
    whole = each(lambda source: read_image(source, 128, tuple(source.planes), "depth"), list(sources) * 2)
    works = {
        "inflating alone, by threads": (
            threading.Thread,
            each(lambda pixels: kernels.inflate(pixels, most_bytes), packed),
        ),
        "all that a pack does, by threads": (threading.Thread, whole),
        "by processes": (get_context("fork").Process, whole),
    }
    print("\nwork done at a time at 128², with kernels, by the clock, best of the rounds")
    for name, (kind, work) in works.items():
        spent = {count: min(time_workers(kind, work, count) for _ in range(rounds)) for count in (1, most)}
        print(
            f"  {name:34} 1: {spent[1]:6.3f} s   {most}: {spent[most]:6.3f} s   {most * spent[1] / spent[most]:5.2f}×"
        )


def time_workers(kind: Callable[..., threading.Thread | BaseProcess], work: Way, count: int) -> float:
    """Return the seconds by the clock in which so many threads or processes do the same work, each all of it."""
    workers = [kind(target=work) for _ in range(count)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - began


def measure_interpreter(channels: Sequence[str], rounds: int, kernels: Kernels) -> float:
    """Return milliseconds a plane of images so small that little but the interpreter's work is left."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(8):
            for channel in channels:
                plane = rng.integers(0, 256, (16, 16), dtype=np.uint8)
                Image.fromarray(plane).save(Path(folder, f"{number}_{channel}.png"))
        whole = each(lambda source: read_image(source, 8, channels, "depth"), scan(Path(folder)).sources)
        return measure({"": with_kernels(kernels, whole)}, 8 * len(channels), rounds)[""]


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256], metavar="PX", help="(default: 128 256)")
    parser.add_argument("--most", type=int, default=24, metavar="N", help="images to read (default: 24)")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="(default: 9)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="(default: one a core)")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    sources = [source for source in scan(options.images).sources if len(source.planes) > 1][: options.most]
    if not sources:
        parser.error(f"--images {options.images}: no sample of several channels in it")
    began = time.process_time()
    kernels = compile_kernels()
    if kernels is None:
        parser.error("kernels need the extra: pip install 'hpa-hier[fast]'")
    print(f"importing numba and compiling: {time.process_time() - began:.2f} s of processor time")
    files = [plane.file for source in sources for plane in source.planes.values()]
    size = sum(file.stat().st_size for file in files) / len(files) / 1000
    print(f"{len(sources)} images, {len(files)} PNGs of {size:.0f} kB; one core, medians of {options.rounds} rounds")
    compare_pngs(sources, options.sizes, options.rounds, kernels)
    compare_others(sources[:8], options.rounds)
    alone = measure_interpreter(tuple(sources[0].planes), options.rounds, kernels)
    print(f"\nthe interpreter's part, which no two threads do at a time: at most {alone:.3f} ms a plane")
    compare_workers(sources, options.workers, options.rounds, kernels)


if __name__ == "__main__":
    main()
