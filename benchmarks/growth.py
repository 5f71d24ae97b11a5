"""How time and memory of each command grow with the number of samples.

    python benchmarks/growth.py [--counts 1000 10000 100000] [--images 100 400 1600] [--only COMMAND ...] [--out FOLDER]

Draws samples with the label sets of the real table: small pictures of noise for what reads images, and 32 numbers a
sample, the labels with noise, for what learns. Each command runs in a process of its own, with one thread. Prints its
seconds of processor time, the most memory that it held, and how time grows from the last three counts: the exponent b
of what is above the first count's time, ~ samples^b (1 is linear), and what a million samples would take along the
line through the last two counts. Answering for images by the bundled ensemble is measured at --images, since it costs
tens of milliseconds an image. About half an hour at the default counts, most of it at the last.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hpa_hier.simulate.labelsets import draw_samples

ROOT = Path(__file__).resolve().parents[1]
SIDE, FEATURES, LEAVES = 32, 32, 28
MILLION = 1_000_000
RECIPE = """run: growth
training:
  backbone: sklearn
  estimator: logistic_regression
  estimator_parameters: {max_iter: 30}
members:
  - {name: leaf, level: leaf}
  - {name: coarse, level: coarse}
  - {name: near, level: leaf, training: {estimator: sklearn.naive_bayes.GaussianNB, estimator_parameters: {}}}
ensemble:
  members: [leaf, coarse, near]
  baseline: [leaf, near]
"""
"""Members that cost little, so that what stands around them shows."""


@dataclass(frozen=True)
class Cost:
    """What a command took."""

    seconds: float  # of processor time
    megabytes: float  # the most that it held


def write_samples(folder: Path, count: int) -> None:
    """Write a label table, the samples' numbers, and a small picture of noise of each."""
    folder.mkdir(parents=True)
    rng, samples = np.random.default_rng(count), draw_samples(count, 0, 1.0)
    ids = [f"s{row:07d}" for row in range(count)]
    rows = [
        f"{sample_id},{' '.join(one.labels)},{one.antibody_name}" for sample_id, one in zip(ids, samples, strict=True)
    ]
    (folder / "labels.csv").write_text("\n".join(["Id,Target,group", *rows]) + "\n")
    values = rng.normal(0, 0.5, (count, FEATURES)).astype(np.float32)
    for row, sample in enumerate(samples):
        values[row, [int(label) for label in sample.labels]] += 1
    np.save(folder / "vectors.npy", values)
    (folder / "ids.txt").write_text("\n".join(ids) + "\n")
    (folder / "images").mkdir()
    for sample_id in ids:
        picture = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / "images" / f"{sample_id}.png"), picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    (folder / "growth.yaml").write_text(RECIPE)


def commands(folder: Path, bundled: bool) -> Iterator[tuple[str, list[str]]]:
    """Yield each command with its name, in the order in which one needs what the others left."""
    here, run = str(folder), ["--run", str(folder / "run")]
    recipe = ["--config", f"{here}/growth.yaml"]
    images, labels = ["--images", f"{here}/images"], ["--labels", f"{here}/labels.csv"]
    vectors = ["--vectors", f"{here}/vectors.npy", "--ids", f"{here}/ids.txt"]
    pack, small = f"{here}/vector_pack", ["--size", str(SIDE), "--may-be-missing", "yellow", "--threads", "1"]
    if bundled:
        yield "predict, images", ["predict", f"{here}/images", "--run", "pretrained", "--out", f"{here}/of_images",
                                  "--may-be-missing", "yellow", "--threads", "1"]  # fmt: skip
        return
    yield "data pack, images", ["data", "pack", *images, *labels, *small, "--out", f"{here}/image_pack"]
    yield "data audit", ["data", "audit", "--pack", f"{here}/image_pack"]
    split = ["data", "split", "--pack", f"{here}/image_pack", "--out", f"{here}/image_split.csv"]
    yield "data split, near-duplicates apart", [*split, "--near-duplicates", "11"]
    yield "data balance", ["data", "balance", *labels, "--out", f"{here}/balance"]
    yield "data pack, vectors", ["data", "pack", *vectors, *labels, "--out", pack]
    train = ["train", "--all", "--data", pack, "--jobs", "1", "--no-progress"]
    yield "train --all, three estimators", [*train, *run, *recipe]
    yield "ensemble fit", ["ensemble", "fit", *run]
    yield "ensemble evaluate", ["ensemble", "evaluate", *run]
    yield "report", ["report", *run]
    yield "predict, vectors", ["predict", *vectors, *run, "--out", f"{here}/of_vectors"]


def measure(words: Sequence[str], folder: Path) -> Cost:
    """Run a command and return what it and its children took."""
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    with (
        (folder / "log.txt").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-m", "hpa_hier", *words], cwd=folder, env=env, stdout=log, stderr=log
        ) as child,
    ):
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)  # so that nobody waits for it again
    if child.returncode:
        raise SystemExit(
            f"{' '.join(words)} ended with {child.returncode}:\n{(folder / 'log.txt').read_text()[-2000:]}"
        )
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def growth(counts: Sequence[int], costs: Sequence[Cost]) -> float:
    """Return the exponent b of seconds ~ count^b over the last three counts, NaN where there are fewer.

    The start of a command hides growth at small counts, so b is of what is above the first count's time.

    >>> round(growth([10, 100, 1000], [Cost(1.1, 0), Cost(2.0, 0), Cost(11.0, 0)]), 2)
    1.0
    """
    if len(counts) < 3:
        return math.nan
    (n0, n1, n2), (t0, t1, t2) = counts[-3:], (one.seconds for one in costs[-3:])
    more = max(t1 - t0, 1e-9), max(t2 - t1, 1e-9)
    return math.log(more[1] / more[0]) / math.log((n2 - n1) / (n1 - n0))


def extrapolate(counts: Sequence[int], costs: Sequence[Cost], count: int = MILLION) -> Cost:
    """Return what `count` samples would cost by the line through the last two counts.

    >>> extrapolate([10, 20], [Cost(1, 100), Cost(2, 101)], 100)
    Cost(seconds=10.0, megabytes=109.0)
    """
    (n0, n1), (a, b) = counts[-2:], costs[-2:]
    ahead = (count - n1) / (n1 - n0)
    return Cost(b.seconds + ahead * (b.seconds - a.seconds), b.megabytes + ahead * (b.megabytes - a.megabytes))


def write_table(found: dict[str, dict[int, Cost]]) -> str:
    """Return the Markdown table of what was measured: for each command its samples, time, memory and growth."""
    lines = [
        "| command | samples | seconds of processor time | memory, MB | exponent | a million samples |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, costs in found.items():
        counts, values = list(costs), list(costs.values())
        numbers = " · ".join(f"{count:,}" for count in counts)
        seconds = " · ".join(f"{one.seconds:.1f}" for one in values)
        memory = " · ".join(f"{one.megabytes:,.0f}" for one in values)
        exponent, ahead = growth(counts, values), extrapolate(counts, values) if len(counts) > 1 else None
        power = "" if math.isnan(exponent) else f"{exponent:.2f}"
        far = "" if ahead is None else f"{ahead.seconds / 60:,.0f} min, {ahead.megabytes:,.0f} MB"
        lines.append(f"| {name} | {numbers} | {seconds} | {memory} | {power} | {far} |")
    return "\n".join(lines)


@contextmanager
def _open(out: Path | None) -> Iterator[Path]:
    if out:
        out.mkdir(parents=True, exist_ok=True)
        yield out
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000, 100_000], help="samples")
    parser.add_argument(
        "--images", type=int, nargs="*", default=[100, 400, 1600], help="images for the bundled ensemble"
    )
    parser.add_argument("--only", nargs="*", default=[], help="commands, by the start of their names")
    parser.add_argument("--out", type=Path, help="folder for what is written; default: a temporary one")
    options = parser.parse_args()
    found: dict[str, dict[int, Cost]] = {}
    with _open(options.out) as home:
        for kind, counts in (("samples", options.counts), ("bundled", options.images)):
            for count in sorted(counts):
                folder = home / f"{kind}_{count}"
                write_samples(folder, count)
                for name, words in commands(folder, kind == "bundled"):
                    if not options.only or any(name.startswith(one) for one in options.only):
                        cost = found.setdefault(name, {})[count] = measure(words, folder)
                        print(f"{name}, {count:,}: {cost.seconds:.1f} s, {cost.megabytes:,.0f} MB", flush=True)
    print(f"\n{write_table(found)}")


if __name__ == "__main__":
    main()
