"""Folds or seeds: five networks of one member, each without a fifth of the images, or five members of all of them.

    python benchmarks/folds.py --labels train.csv [--world different] [--seeds 4]

Both cost five trainings on about 70 % of the images. Folds leave 85 % of them to calibrate and to choose thresholds by,
scored by the one network that has not seen them, and new images get the mean of the five; seeds leave the calibration
part's 15 %, scored by all five. Real label vectors (a competition's train.csv), **drawn scores**; the default
ensemble's macro F1 and log loss on 6,000 other images, and the difference, paired by draw. About a minute on one core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from few_labels import WORLDS, Case, measure, read_table

from hpa_hier.ensemble.accept import fit_accepted
from hpa_hier.ensemble.scores.fit_data import fit_data
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.settings.recipe import EnsembleSettings

NETWORKS = 5
SIZES = (50, 100, 200, 400, 800, 1600)  # labelled images
SEEDED, FOLDED = 0.15, 0.85  # share of the images that the ensemble is fitted on


def answer(case: Case, members: list[np.ndarray], unseen: list[np.ndarray], count: int) -> np.ndarray:
    """Macro F1, mean AP and log loss (3,) of the default ensemble, fitted on the first `count` images.

    Args:
        case: the draw.
        members: of each member the logits (B, 28) of the images to fit on.
        unseen: and of those to measure on.
        count: of the images to fit on.
    """

    def scores(tables: list[np.ndarray]) -> list[Scores]:
        ids = tuple(f"s{i:05d}" for i in range(len(tables[0])))
        return [Scores(f"m{e}", ids, case.leaves, table) for e, table in enumerate(tables)]

    whole = case.targets()
    truth = Truth(whole.ids[:count], whole.present[:count], whole.known[:count])
    data = fit_data(scores([table[:count] for table in members]), truth)
    ensemble = fit_accepted(data, None, case.taxonomy, EnsembleSettings(bootstrap=0)).ensemble
    answers = ensemble.predict(scores(unseen))
    return measure(answers.probs[:, case.columns], answers.present[:, case.columns], case.truth)


def main(arguments: list[str]) -> int:
    """Print a line for each number of images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, metavar="CSV")
    parser.add_argument("--world", choices=WORLDS, default="different")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options = parser.parse_args(arguments)
    table = read_table(options.labels)
    print("| images | macro F1, folds | seeds | difference | log loss, folds | seeds |\n" + "|" + " --- |" * 6)
    for size in options.sizes:
        found = []
        for seed in range(options.seeds):
            case = Case(table, WORLDS[options.world], [seed, size], round(FOLDED * size))
            rows = np.arange(len(case.logits))
            one = case.logits[rows, rows % NETWORKS]  # each image by the network of its fold
            mean = case.unseen[:, :NETWORKS].mean(axis=1)
            folds = answer(case, [one], [mean], len(rows))
            each = [[logits[:, e] for e in range(NETWORKS)] for logits in (case.logits, case.unseen)]
            found.append((folds, answer(case, *each, round(SEEDED * size))))
        means = np.mean(found, axis=0)
        differences = np.array([folds[0] - seeds[0] for folds, seeds in found])
        spread = f"{differences.mean():+.3f} ({differences.min():+.3f} to {differences.max():+.3f})"
        scores = f"{means[0, 0]:.3f} | {means[1, 0]:.3f} | {spread} | {means[0, 2]:.4f} | {means[1, 2]:.4f}"
        print(f"| {size:,} | {scores} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
