"""Compare training from the bundled leaf member (`--init pretrained`) with training from random weights.

    python benchmarks/pretrained_start.py [--counts 250,1000] [--size 64] [--steps 200] [--repeats 4]

Each repeat simulates its own images with the default settings and the real table's class counts (the bundled member saw
balanced classes, all zooms, twice the side and all kinds of contrast), trains a leaf
network of one shape from both starts on the same images in the same order for the same few steps, and compares mean
average precision over the leaves that occur among 1,000 other images (simulated). The interval is Student's over the
repeats' differences. Some minutes on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from learning_curve import score, simulate, train
from scipy.stats import t as student

from hpa_hier.cli.command import one_thread_a_process, run
from hpa_hier.files.atomic import write_text
from hpa_hier.metrics.scores import average_precision

TESTED = 1000  # images of each repeat


def mean_precision(scores: np.ndarray, present: np.ndarray) -> float:
    """Return the mean average precision over the columns that occur; scores (B, n), present (B, n) bool."""
    occurs = present.any(axis=0)
    known = np.ones((len(present), int(occurs.sum())), bool)
    return float(np.mean(average_precision(scores[:, occurs].astype(np.float64), present[:, occurs], known)))


def interval(differences: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return Student's interval of the mean of a few differences (R,).

    >>> [round(bound, 2) for bound in interval(np.array([1.0, 2.0, 3.0]))]
    [-0.48, 4.48]
    """
    half = student.ppf(0.5 + level / 2, len(differences) - 1) * differences.std(ddof=1) / np.sqrt(len(differences))
    return float(differences.mean() - half), float(differences.mean() + half)


def main(arguments: list[str]) -> int:
    """Train from both starts, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="250,1000", help="simulated images to train on")
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--steps", type=int, default=200, help="of each training, 64 images each")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    one_thread_a_process()
    import torch

    torch.set_num_threads(1)
    from hpa_hier.settings.training import TrainingSettings
    from hpa_hier.taxonomy import Taxonomy
    from hpa_hier.training.shipped_start import start_from_shipped

    shipped = Path(str(start_from_shipped(TrainingSettings(), {}).weights))
    taxonomy = Taxonomy.load("hierarchy/hpa28.yaml")
    leaves = [taxonomy.column[leaf] for leaf in taxonomy.leaves]
    counts = [int(count) for count in options.counts.split(",")]
    found = np.zeros((len(counts), options.repeats, 2))
    for repeat in range(options.repeats):
        pool, present = simulate(max(counts) + TESTED, options.size, 1000 + repeat)
        for row, count in enumerate(counts):
            for column, start in enumerate((None, str(shipped))):
                rows = slice(TESTED, TESTED + count)
                network = train(pool[rows], present[rows][:, leaves], options.steps, repeat, weights=start)
                found[row, repeat, column] = mean_precision(score(network, pool[:TESTED]), present[:TESTED][:, leaves])
            print(f"repeat {repeat}, {count} images: {found[row, repeat].round(3).tolist()}", flush=True)
    lines = [
        "| simulated images | from nothing | from the shipped leaf member | difference, 95% interval |",
        "|" + " --- |" * 4,
    ]
    for count, rows in zip(counts, found, strict=True):
        gain = rows[:, 1] - rows[:, 0]
        low, high = interval(gain)
        nothing, started = rows.mean(axis=0)
        lines.append(f"| {count:,} | {nothing:.3f} | {started:.3f} | {gain.mean():+.3f} [{low:+.3f}, {high:+.3f}] |")
    text = "\n".join(lines)
    print(text)
    if options.markdown:
        write_text(options.markdown, text + "\n")
    return 0


if __name__ == "__main__":
    run(main)
