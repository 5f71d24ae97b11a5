"""How near-duplicates are found: speed beside comparing each with each, and what is found and what is not.

    python benchmarks/near_duplicates.py [--count N] [--cells N]

Speed: N (100,000) random fingerprints with planted near ones are searched and compared each with each; seconds of one
core's time. Finding: copies of simulated cells (128², N of them: 2,000) are made as copies come about, and the
share is printed of those whose fingerprint is near enough and whose thumbnail is alike enough; and, of all pairs of
different fields, how many would be taken for copies.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from hpa_hier.data.images.channels import CHANNELS
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.pack.simulated_pack import write_simulated_pack
from hpa_hier.data.split.fingerprint import fingerprints, likeness, thumbnails, turn_codes, turn_images
from hpa_hier.data.split.hamming import find_close_pairs
from hpa_hier.data.split.near_duplicates import ALIKE, DISTANCE, find_near_duplicates, join_groups
from hpa_hier.taxonomy import Taxonomy

Change = Callable[[np.ndarray], np.ndarray]  # (C, S, S) uint8 to the same
SIDE = 128  # pixels
PLANTED = 1000
DISTANCES = (3, 7, 8, 11, 15)  # bits


def speed(count: int) -> None:
    """Print seconds of searching and of comparing each with each, and check that both find the same."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 1 << 64, count, dtype=np.uint64)
    codes[:PLANTED] = codes[PLANTED : 2 * PLANTED]
    for place in range(PLANTED):
        for bit in rng.choice(64, place % (max(DISTANCES) + 1), replace=False):
            codes[place] ^= np.uint64(1 << int(bit))
    began = time.process_time()
    histogram = np.zeros(65, dtype=np.int64)
    for place in range(count - 1):
        histogram += np.bincount(np.bitwise_count(codes[place + 1 :] ^ codes[place]), minlength=65)
    counting = time.process_time() - began
    began = time.process_time()
    for place in range(count - 1):
        np.flatnonzero(np.bitwise_count(codes[place + 1 :] ^ codes[place]) <= DISTANCE)
    each = time.process_time() - began
    print(f"{count:,} fingerprints; each with each {each:.1f} s (counting them all {counting:.1f} s)")
    for distance in DISTANCES:
        began = time.process_time()
        found = find_close_pairs(codes, codes, distance).bits
        took = time.process_time() - began
        assert len(found) == histogram[: distance + 1].sum()  # nothing is missed
        print(f"  up to {distance:2} bits: {len(found):6,} pairs, all there are, in {took:5.2f} s, {each / took:5.1f}×")


def crowds(counts: Sequence[int]) -> None:
    """Print how the time grows with the number of images that are all alike, as the frames of a film are."""
    took = []
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            pack = _write_film(Path(folder) / "pack", count)
            began = time.process_time()
            pairs = find_near_duplicates(pack)
            took.append(time.process_time() - began)
        joined = len({*join_groups(pack.samples, pairs)}) == 1
        print(f"{count:,} frames of one film: {took[-1]:.2f} s, {len(pairs):,} pairs, all joined: {joined}")
    print(f"{counts[-1] / counts[0]:.1f} times the frames take {took[-1] / took[0]:.1f} times as long")


def _write_film(folder: Path, count: int) -> Pack:
    """Write a pack of noisy copies of one field, each turned or flipped."""
    rng = np.random.default_rng(0)
    field = 60 + 400 * np.stack([cv2.GaussianBlur(plane, (0, 0), 4) for plane in rng.normal(0, 1, (4, 64, 64))])
    noisy = (np.clip(field + rng.integers(0, 3, field.shape), 0, 255).astype(np.uint8) for _ in range(count))
    frames = (np.ascontiguousarray(turn_images(frame, turn % 8)) for turn, frame in enumerate(noisy))
    ids = [f"frame{number:05d}" for number in range(count)]
    labels, groups = [("Cytosol",)] * count, [""] * count
    tree = Taxonomy.load("hierarchy/hpa28.yaml")
    write_simulated_pack(folder, frames, ids, labels, groups, CHANNELS, tree, "simulated")
    return Pack.open(folder)


def changes() -> dict[str, Change]:
    """Return ways in which copies differ from their original."""
    rng = np.random.default_rng(1)

    def jpeg(quality: int) -> Change:
        return lambda image: np.stack(
            [cv2.imdecode(cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 0) for plane in image]
        )

    def shifted(by: int) -> Change:
        return lambda image: np.pad(image, ((0, 0), (by, 0), (by, 0)), mode="edge")[:, :SIDE, :SIDE]

    def cropped(by: int) -> Change:
        return lambda image: np.stack([cv2.resize(plane[by:-by, by:-by], (SIDE, SIDE)) for plane in image])

    def gained(image: np.ndarray) -> np.ndarray:
        return np.clip(image * rng.uniform(0.6, 1.4, (len(image), 1, 1)), 0, 255).astype(np.uint8)

    def halved(image: np.ndarray) -> np.ndarray:
        small = [cv2.resize(plane, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA) for plane in image]
        return np.stack([cv2.resize(plane, (SIDE, SIDE)) for plane in small])

    return {
        **{f"JPEG, quality {quality}": jpeg(quality) for quality in (90, 50, 20)},
        "gain 0.6 to 1.4 a channel": gained,
        "gamma 1.5": lambda image: np.rint(255 * (image / 255) ** 1.5).astype(np.uint8),
        "half the size and back": halved,
        "noise of 5 in 255": lambda image: np.clip(image + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8),
        "yellow missing": lambda image: image * np.array([1, 1, 1, 0], np.uint8)[:, None, None],
        **{f"shifted {by} of {SIDE} pixels both ways": shifted(by) for by in (1, 2, 3, 4)},
        **{f"cropped by {by} of {SIDE} pixels all around": cropped(by) for by in (1, 2, 4)},
        "turned by 90°": lambda image: np.rot90(image, axes=(1, 2)),
        "flipped": lambda image: image[:, :, ::-1],
    }


def finding(cells: int) -> None:
    """Print which copies of simulated cells are found, and how many pairs of different ones are."""
    from hpa_hier.settings.recipe import SimulateSettings
    from hpa_hier.simulate.write import write_pack

    with tempfile.TemporaryDirectory() as folder:
        write_pack(Path(folder) / "pack", SimulateSettings(count=cells, image_size=SIDE))
        pack = Pack.open(Path(folder) / "pack")
        images = pack.images(np.arange(min(cells, PLANTED)))
        began = time.process_time()
        small = thumbnails(images)
        codes = fingerprints(small)
        print(f"fingerprints of {SIDE}² × 4: {len(images) / (time.process_time() - began):,.0f} images a second")
        found = find_near_duplicates(pack)
        print(
            f"{len(pack):,} different fields, {len(pack) * (len(pack) - 1) // 2:,} pairs: {len(found)} taken for copies"
        )
    print("| copy | " + " | ".join(f"up to {distance} bits" for distance in DISTANCES) + " | found by default |")
    for name, change in changes().items():
        copies = thumbnails(np.stack([change(image) for image in images]))
        apart = np.bitwise_count(turn_codes(fingerprints(copies)) ^ codes)  # (8, B)
        turn = apart.argmin(axis=0)
        back = np.stack([turn_images(one, int(way)) for one, way in zip(copies, turn, strict=True)])
        least, alike = apart.min(axis=0), likeness(back, small)
        near = " | ".join(f"{(least <= distance).mean():.1%}" for distance in DISTANCES)
        print(f"| {name} | {near} | {((least <= DISTANCE) & (alike >= ALIKE)).mean():.1%} |")


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, metavar="N", help="fingerprints (default: 100,000)")
    parser.add_argument("--cells", type=int, default=2000, metavar="N", help="simulated cells (default: 2000)")
    text = "only these numbers of images that are all alike (as in --alike 1000 5000)"
    parser.add_argument("--alike", type=int, nargs="+", default=(), metavar="N", help=text)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.alike:
        crowds(options.alike)
        return
    speed(options.count)
    finding(options.cells)


if __name__ == "__main__":
    main()
