"""Large inputs: four times as much takes some five times as long at most, or is refused by a line that says why."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from faults.forked import run
from faults.tally import Tally
from faults.world import World

_MOST = 1.35  # exponent of the time in the size: linear work is 1, n log n some 1.1
_LEAST = 0.8  # seconds of processor time below which no growth is measured
_REFUSED = ("at most", "limit", "more than", "nodes")  # of which a refusal names one


class Size(NamedTuple):
    """A kind of input, in sizes that grow fourfold."""

    name: str
    sizes: tuple[int, ...]
    words: Callable[[World, Path, int], Sequence[object]]


def try_sizes(world: World, scratch: Path, part: float = 1.0) -> tuple[Tally, list[str]]:
    """Run commands on inputs of growing size; return how they went, and a line for each."""
    tally, lines = Tally(), []
    for kind in list_sizes():
        before: tuple[int, float] | None = None
        for number, full in enumerate(kind.sizes):
            size, home = max(4, int(full * part)), scratch / f"{kind.name.replace(' ', '-')}-{number}"
            home.mkdir()
            done = run(*kind.words(world, home, size), timeout=900)
            lines.append(f"{size:,} {kind.name}: status {done.status}, {done.seconds:.1f} s")
            refused = done.refused and any(word in done.last for word in _REFUSED)
            grown = 0.0
            if before and before[1] > _LEAST and not refused:
                grown = math.log(done.seconds / before[1]) / math.log(size / before[0])
            fine = (done.status in (0, 1) or done.refused) and not done.traceback and grown <= _MOST
            tally.add(fine, f"{lines[-1]}, grows with the power {grown:.2f}: {done.text[-300:]}")
            before = None if refused else (size, done.seconds)
    return tally, lines


def list_sizes() -> Iterator[Size]:
    """Yield the kinds of input."""
    yield Size("nodes of a taxonomy", (2000, 8000, 50_000), _taxonomy)
    yield Size("rows of labels without images", (25_000, 100_000, 400_000), _rows)
    yield Size("columns of vectors", (2500, 10_000, 40_000), _columns)
    yield Size("frames of one field in an audit", (300, 1200, 5000), _frames)
    yield Size("frames of one field in a split", (300, 1200, 5000), _split_frames)
    yield Size("files that are no images", (2500, 10_000, 40_000), _files)


def _taxonomy(world: World, home: Path, size: int) -> Sequence[object]:
    groups = max(1, int(size**0.5))
    lines = ["taxonomy: large", "levels: {leaf: leaves}", "tree:"]
    for group in range(groups):
        lines.append(f"  g{group}:")
        lines += [f"    n{i}: {{label: {i}}}" for i in range(group, size, groups)]
    (home / "t.yaml").write_text("\n".join(lines) + "\n")
    return ["taxonomy", "check", home / "t.yaml"]


def _rows(world: World, home: Path, size: int) -> Sequence[object]:
    (home / "l.csv").write_text("Id,Target\n" + "".join(f"m{i},{i % 4}\n" for i in range(size)))
    flags = ["--labels", home / "l.csv", "--taxonomy", world.taxonomy, "--out", home / "out"]
    return ["data", "balance", "--target", 30, *flags]


def _columns(world: World, home: Path, size: int) -> Sequence[object]:
    rows = ["id," + ",".join(f"f{i}" for i in range(size))]
    rows += [f"s{i:04d}," + ",".join([f"{i % 7}"] * size) for i in range(4)]
    (home / "v.csv").write_text("\n".join(rows) + "\n")
    flags = ["--labels", world.labels, "--taxonomy", world.taxonomy, "--out", home / "out", "--on-problem", "skip"]
    return ["data", "pack", "--vectors", home / "v.csv", *flags]


def _write_frames(world: World, home: Path, size: int) -> Path:
    """Write a pack of noisy copies of one field."""
    from hpa_hier.data.pack.simulated_pack import write_simulated_pack
    from hpa_hier.taxonomy import Taxonomy

    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (4, 32, 32), dtype=np.uint8)
    field = np.stack([cv2.GaussianBlur(plane, (0, 0), 3).astype(int) for plane in noise])
    field = (field - field.min()) * 200 // (field.max() - field.min())
    frames = ((field + rng.integers(0, 2, field.shape)).astype(np.uint8) for _ in range(size))
    ids, nodes = [f"a{i}" for i in range(size)], [(("Dots", "Rings")[i % 2],) for i in range(size)]
    taxonomy = Taxonomy.load(world.taxonomy)
    channels = ("red", "green", "blue", "yellow")
    write_simulated_pack(home / "pack", frames, ids, nodes, [""] * size, channels, taxonomy, "frames")
    return home / "pack"


def _frames(world: World, home: Path, size: int) -> Sequence[object]:
    return ["data", "audit", "--pack", _write_frames(world, home, size)]


def _split_frames(world: World, home: Path, size: int) -> Sequence[object]:
    flags = ["--near-duplicates", 4, "--out", home / "split.csv"]
    return ["data", "split", "--pack", _write_frames(world, home, size), *flags]


def _files(world: World, home: Path, size: int) -> Sequence[object]:
    images = home / "images"
    images.mkdir()
    for i in range(size):
        (images / f"n{i}_green.png").touch()
    (home / "l.csv").write_text("Id,Target\n" + "".join(f"n{i},0\n" for i in range(size)))
    flags = ["--labels", home / "l.csv", "--taxonomy", world.taxonomy, "--may-be-missing", "red,blue,yellow"]
    return ["data", "pack", "--images", images, *flags, "--size", 16, "--out", home / "out", "--on-problem", "skip"]
