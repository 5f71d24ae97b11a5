"""What a member costs by two processes of a CPU, beside one: processor time of the same images, and the clock.

    python benchmarks/two_processes.py [--images 1200] [--rounds 3]

Trains the member of the leaves on simulated cells of 64², two epochs, by one process with batches of 32 and by two with
batches of 16 each, so that steps are alike; the two take turns. What a training of one step takes is taken off, as most
of it is starting. Processor time says what the exchange of gradients costs, the clock what two processes gain where
both have a core of their own. Costs some minutes.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def train(folder: Path, images: int, *sets: str) -> tuple[float, float]:
    """Train once; return the seconds of processor time, of all processes, and by the clock."""
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    small = (f"simulate.count={images}", f"artifacts={folder}", "training.width=16", "training.stop_on=none", *sets)
    words = ["--level", "leaf", "--folds", "0", "--device", "cpu", "--no-progress", "--restart"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "hpa_hier.train", *words, *(word for one in small for word in ("--set", one))]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, time.perf_counter() - began


def main(arguments: Sequence[str]) -> int:
    """Measure by turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1200, help="simulated fields (default: 1200)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median counts (default: 3)")
    options = parser.parse_args(arguments)
    ways = {
        "one process": ("training.devices=1", "training.batch_size=32"),
        "two processes": ("training.devices=2", "training.batch_size=16"),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        train(Path(folder), options.images, "training.max_steps=1")  # simulates
        for _ in range(options.rounds):
            for name, sets in ways.items():
                long = train(Path(folder), options.images, *sets, "training.epochs=2", "training.max_steps=0")
                short = train(Path(folder), options.images, *sets, "training.max_steps=1")
                found[name].append((long[0] - short[0], long[1] - short[1]))
    for name, rounds in found.items():
        used, clock = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{name}: {used:.1f} s of processor time, {clock:.1f} s by the clock")
    one, two = (
        [statistics.median(column) for column in zip(*found[name], strict=True)]
        for name in ("one process", "two processes")
    )
    print(f"two against one: {two[0] / one[0]:.2f} times the processor time, {two[1] / one[1]:.2f} of the clock")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
