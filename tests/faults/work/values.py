"""Values that no measurement has, and trainings that explode: refused or flagged by name, never a traceback."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import tifffile
from faults.forked import run
from faults.tally import Tally
from faults.world import World

from hpa_hier.files.faults.arrays import read_npz

_CHANNELS = ("red", "green", "blue", "yellow")
_FLAGS = ("not finite", "diverged", "non-finite", "NaN", "nan", "infinite", "overflow", "learning_rate", "must be")
_EXPLODING = (
    *(("learning_rate=1e10",), ("learning_rate=1e30",), ("learning_rate=1e10", "loss=soft_f1")),
    *(("learning_rate=1e38", "loss=soft_f1", "optimizer=sgd"), ("learning_rate=1e10", "loss=focal")),
    *(("learning_rate=1e10", "loss=asymmetric"), ("learning_rate=1e10", "head=chain")),
    *(("learning_rate=1e10", "head=levels"), ("learning_rate=1e30", "loss=max_constraint")),
    *(("learning_rate=1e10", "ema=0.9999"), ("learning_rate=1e30", "optimizer=sgd", "max_steps=1")),
    *(("learning_rate=1e10", "stop_on=none"), ("loss=class_weighted", "class_weights={Dots: 1e300}")),
    *(("loss=focal", "loss_options={gamma: 1e300}"), ("weight_decay=1e300",), ("precision=16-mixed",)),
    ("precision=bf16-mixed", "learning_rate=1e5"),
)


def try_images(world: World, scratch: Path) -> Tally:
    """Pack images of odd values, audit and train on them."""
    tally = Tally()
    for name, write in list_images():
        home = scratch / name.replace(" ", "-")
        (home / "images").mkdir(parents=True)
        for i in range(24):
            for channel in _CHANNELS:
                write(home / "images" / f"i{i:03d}_{channel}", i, channel)
        (home / "l.csv").write_text("Id,Target\n" + "".join(f"i{i:03d},{i % 4}\n" for i in range(24)))
        there = world.copy(home / "world")
        shutil.rmtree(there.pack)
        shutil.rmtree(there.run)
        there.images, there.labels = home / "images", home / "l.csv"
        packed = run(*there.pack_words())
        tally.add(_is_told(packed), f"{name}: pack: {packed.status}: {packed.text[-400:]}")
        if packed.status == 0:
            audit = run("data", "audit", "--pack", there.pack)
            tally.add(_is_told(audit), f"{name}: audit: {audit.status}: {audit.text[-400:]}")
            trained = run(*there.train_words("leaf"))
            fine = trained.refused or _is_sound(trained, there)
            tally.add(fine, f"{name}: train: {trained.status}: {trained.text[-400:]}")
    return tally


def _is_told(outcome: object) -> bool:
    return not outcome.traceback and (outcome.status in (0, 1) or outcome.refused)  # type: ignore[attr-defined]


def _is_sound(outcome: object, world: World) -> bool:
    """Tell whether a training was refused by a line that names what exploded, or its scores are numbers."""
    if outcome.traceback:  # type: ignore[attr-defined]
        return False
    if outcome.refused:  # type: ignore[attr-defined]
        return any(word in outcome.text for word in _FLAGS)  # type: ignore[attr-defined]
    scores = read_npz(world.run / "members" / "leaf" / "scores.npz", "a score file", "train it again")
    return bool(np.isfinite(scores["logits"]).all())


def list_images() -> Iterator[tuple[str, Callable[[Path, int, str], None]]]:
    """Yield what a folder is filled with: a name, and what writes one channel."""
    rng = np.random.default_rng(0)

    def png(pixels: Callable[[int, str], np.ndarray]) -> Callable[[Path, int, str], None]:
        return lambda path, i, channel: bool(cv2.imwrite(f"{path}.png", pixels(i, channel))) and None

    def tiff(pixels: np.ndarray) -> Callable[[Path, int, str], None]:
        return lambda path, i, channel: tifffile.imwrite(f"{path}.tif", pixels)

    def noise() -> np.ndarray:
        return rng.integers(0, 255, (32, 32), dtype=np.uint8)

    yield "black", png(lambda i, channel: np.zeros((32, 32), np.uint8))
    yield "white", png(lambda i, channel: np.full((32, 32), 255, np.uint8))
    yield "one channel constant", png(lambda i, channel: np.full_like(noise(), 7) if channel == "yellow" else noise())
    yield "12 of 16 bits", png(lambda i, channel: rng.integers(0, 4096, (32, 32)).astype(np.uint16))
    yield "one pixel", png(lambda i, channel: np.zeros((1, 1), np.uint8))
    yield "other depths", png(lambda i, channel: noise().astype(np.uint16 if channel == "red" else np.uint8))
    yield "other sizes", png(lambda i, channel: np.zeros((32 + i, 32 + (channel == "red")), np.uint8))
    yield "empty files", lambda path, i, channel: Path(f"{path}.png").touch()
    for kind, fill in (("float32", np.nan), ("float32", 0.5), ("float32", np.inf), ("float64", 1e300)):
        yield f"{kind} of {fill}", tiff(np.full((32, 32), fill, kind))
    for kind in ("int16", "uint32", "bool", "complex64"):
        yield kind, tiff(np.zeros((32, 32), kind))


def try_exploding(world: World, scratch: Path) -> Tally:
    """Train with settings that explode: flagged by a line, or the scores are numbers."""
    tally = Tally()
    for settings in _EXPLODING:
        there = world.copy(scratch / "world")
        shutil.rmtree(there.run)
        flags = [word for text in settings for word in ("--set", f"training.{text}")]
        done = run(*there.train_words("leaf", *flags))
        tally.add(_is_sound(done, there), f"{settings}: {done.status}: {done.text[-500:]}")
    return tally


def try_tables(world: World, scratch: Path) -> Tally:
    """Pack vectors and train on them, and fit score tables, with a value in a cell that is no number, or hardly one."""
    tally = Tally()
    for name, words in _list_tables(world, scratch):
        done = run(*words)
        tally.add(_is_told(done), f"{name}: {done.status}: {done.text[-400:]}")
    return tally


def _list_tables(world: World, scratch: Path) -> Iterator[tuple[str, Sequence[object]]]:
    labels = ["--labels", world.labels, "--taxonomy", world.taxonomy]
    cells = ("nan", "inf", "-inf", "1e39", "1e38", "1e-45", "", "1_0", "٠", "0x1p-3", "=1+1", "1,5", "NaN ", "5")
    for number, cell in enumerate(cells):
        table, packed = scratch / f"v{number}.csv", scratch / f"v{number}"
        rows = [f's{i:04d},"{cell if i == 3 or cell == "5" else i}",{i % 7}' for i in range(world.count)]
        table.write_text("id,a,b\n" + "\n".join(rows) + "\n", encoding="utf-8")
        yield f"vectors with {cell!r}", ["data", "pack", "--vectors", table, *labels, "--out", packed]
        if packed.is_dir():
            there = world.copy(scratch / f"w{number}")
            flags = ["--data", packed, "--set", "training.backbone=mlp", "--run", there.home / "run"]
            yield f"trained on {cell!r}", ["train", "--level", "leaf", "--device", "cpu", *flags]
        scores = scratch / f"s{number}.csv"
        rows = [f's{i:04d},"{cell if i == 2 else 0.3}",{i % 9 / 9},0.2,{i % 5 / 5}' for i in range(world.count)]
        scores.write_text("id,Dots,Rings,Blobs,Smears\n" + "\n".join(rows) + "\n", encoding="utf-8")
        kind = ["--scores", f"m={scores}", "--score-kind", "probs", "--set", "ensemble.folds=0"]
        yield f"scores with {cell!r}", ["ensemble", "fit", "--run", scratch / f"f{number}", *kind, *labels]
