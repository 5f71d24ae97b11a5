"""The same result whatever the number of workers, threads, images a batch and a shard, and in whatever company."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from faults.forked import run
from faults.tally import Tally
from faults.world import World, snapshot


def try_same(world: World, scratch: Path) -> Tally:
    """Run each command in several ways: every one gives what the first gave."""
    tally = Tally()
    for name, ways in _list_ways(world, scratch):
        first: tuple[int, object] | None = None
        for way, words, result in ways:
            done = run(*words, timeout=180)
            found = (done.status, result())
            first = first or found
            tally.add(found == first and done.status in (0, 1), f"{name}, {way}: status {done.status}: {done.last}")
    return tally


_Way = tuple[str, Sequence[object], Callable[[], object]]


def _list_ways(world: World, scratch: Path) -> Iterator[tuple[str, Iterator[_Way]]]:
    yield "predict", _predict(world, scratch)
    yield "predict one image", _predict_one(world, scratch)
    yield "data pack", _pack(world, scratch)
    yield "data simulate", _simulate(scratch)
    yield "train", _train(world, scratch)
    yield "fit", _repeat(world, scratch, "fit", ("ensemble/ensemble.json", "ensemble/flat.json"))
    yield "evaluate", _repeat(world, scratch, "evaluate", ("ensemble/results.json",))


def _predict(world: World, scratch: Path) -> Iterator[_Way]:
    for batch in (1, 2, 3, 5, 16, 64):
        for threads in (1, 2, 4):
            for shard in (1, 4, 64):
                out = scratch / f"p-{batch}-{threads}-{shard}"
                flags = ["--batch-size", batch, "--threads", threads, "--shard-size", shard, "--device", "cpu"]
                words = ["predict", world.new, "--run", world.run, "--out", out, *flags]
                yield f"{batch} a batch, {threads} threads, {shard} a shard", words, lambda out=out: snapshot(out)
    out = scratch / "p-jobs"
    flags = ["--backend", "threading", "--jobs", 2, "--shard-size", 2, "--device", "cpu"]
    words = ["predict", world.new, "--run", world.run, "--out", out, *flags]
    yield "in threads", words, lambda: snapshot(out)


def _predict_one(world: World, scratch: Path) -> Iterator[_Way]:
    for company in (6, 1, 2, 4):
        images, out = scratch / f"of-{company}", scratch / f"o-{company}"
        images.mkdir()
        for i in range(6 - company, 6):
            for file in world.new.glob(f"s{i:04d}_*.png"):
                shutil.copy(file, images)
        words = ["predict", images, "--run", world.run, "--out", out, "--device", "cpu"]
        yield f"among {company}", words, lambda out=out, images=images: _row(out, "s0005", images)


def _row(out: Path, sample: str, images: Path) -> list[str]:
    """Return a sample's rows of the tables, without the folder that its file is in."""
    tables = [out / "predictions.csv", out / "probabilities.csv"]
    rows = [line for table in tables for line in table.read_text().splitlines() if line.startswith(sample)]
    return [row.replace(str(images), "") for row in rows]


def _pack(world: World, scratch: Path) -> Iterator[_Way]:
    for threads in (1, 2, 3, 5, 8):
        out = scratch / f"k{threads}"
        flags = ["--labels", world.labels, "--taxonomy", world.taxonomy, "--size", 24, "--threads", threads]
        words = ["data", "pack", "--images", world.images, *flags, "--out", out]
        yield f"{threads} threads", words, lambda out=out: snapshot(out)


def _simulate(scratch: Path) -> Iterator[_Way]:
    for workers in (1, 2, 3):
        out = scratch / f"s{workers}"
        words = ["data", "simulate", "--out", out, "--count", 10, "--size", 48, "--workers", workers]
        yield f"{workers} workers", words, lambda out=out: snapshot(out)


def _train(world: World, scratch: Path) -> Iterator[_Way]:
    for way in ("alone", "again", "together"):
        there = world.copy(scratch / way.replace(" ", "-"))
        shutil.rmtree(there.run)
        words = there.train_words("leaf")
        if way == "together":
            words = ["train", "--all", "--together", "--device", "cpu", *there.config]
        yield way, words, lambda there=there: _trained(there)


def _trained(world: World) -> dict[str, str]:
    found = snapshot(world.run / "members" / "leaf")
    return {name: found[name] for name in ("model.safetensors", "scores.npz")}


def _repeat(world: World, scratch: Path, command: str, files: Sequence[str]) -> Iterator[_Way]:
    there = world.copy(scratch / command)
    for number in range(3):
        yield (
            f"time {number + 1}",
            there.ensemble_words(command),
            lambda: [found for name, found in snapshot(there.run).items() if name in files],
        )
