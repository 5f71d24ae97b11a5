"""What a stratified test part flatters: label counts that thresholds know, beside a test part drawn at random.

    python benchmarks/split_parts.py --labels train.csv [--images 1205] [--draws 400]

Real label vectors (a competition's train.csv), **drawn scores** (normal, positives 2 deviations above negatives), 60 %
train, 20 % calibration, 20 % test. Thresholds that call as many samples present as the calibration part has are fitted
there and used on the test part, and on new samples of the table, as many as the test part has. Macro F1 is of the
classes that 40 of the images or more carry on average. The fixed threshold is the best one of the whole table. About
25 ms a draw on one core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from few_labels import macro_f1, read_table
from scipy.special import expit

from hpa_hier.data.split.split import PARTS, make_split, split
from hpa_hier.ensemble.decide.threshold_rules import f1_thresholds, prevalence_thresholds
from hpa_hier.metrics.ranking import Ranked
from hpa_hier.settings.recipe import SplitSettings

FRACTIONS = (0.6, 0.2, 0.2)
APART = 2.0  # of positives from negatives, in deviations of the noise
COMMON = 40  # images that a class of the table has on average
RULES = ("counted", "fixed")


class Draws:
    """Scores drawn for label vectors of the table."""

    def __init__(self, table: np.ndarray, images: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.table, self.images = table[:, table.mean(axis=0) * images >= COMMON], images
        probs = self.score(self.table)
        self.fixed = f1_thresholds(Ranked.of(probs, self.table, np.ones_like(self.table)))

    def score(self, present: np.ndarray) -> np.ndarray:
        """Draw probabilities (B, L) of present nodes."""
        return np.asarray(expit(self.rng.normal(APART * present)))

    def sample(self, images: int) -> np.ndarray:
        """Draw label vectors (B, L)."""
        return self.table[self.rng.choice(len(self.table), images)]

    def measure(self, seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Split new samples both ways: macro F1 (2, 2), on test and new samples by rule, and the parts' counts."""
        present, ids, alone = self.sample(self.images), [f"{i}" for i in range(self.images)], [""] * self.images
        probs = self.score(present)
        settings = SplitSettings(fractions=FRACTIONS, seed=seed)
        drawn = np.array([PARTS.index(name) for name in make_split(ids, present, alone, settings).parts])
        new = [self.sample(round(FRACTIONS[2] * self.images)) for _ in range(5)]
        unseen = [self.score(one) for one in new]
        f1, counts = {}, {}
        for name, part in (("stratified", split(present, alone, FRACTIONS, seed)), ("drawn", drawn)):
            at, test = part == 1, part == 2
            counted = prevalence_thresholds(Ranked.of(probs[at], present[at], np.ones_like(present[at])))
            cuts = (counted, self.fixed)
            on_test = [macro_f1(probs[test] >= cut, present[test]) for cut in cuts]
            on_new = [np.mean([macro_f1(p >= cut, y) for p, y in zip(unseen, new, strict=True)]) for cut in cuts]
            f1[name] = np.array([on_test, on_new])
            counts[name] = np.stack([present[at].sum(axis=0), present[test].sum(axis=0)])
        return f1, counts


def main(arguments: list[str]) -> int:
    """Print, for each split, by how much the test part flatters, and how far its counts are known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, metavar="CSV", help="the competition's train.csv")
    parser.add_argument("--images", type=int, default=1205)
    parser.add_argument("--draws", type=int, default=400)
    options = parser.parse_args(arguments)
    draws = Draws(read_table(options.labels), options.images, 0)
    measured = [draws.measure(seed) for seed in range(options.draws)]
    for name in ("stratified", "drawn"):
        apart = np.array([f1[name][0] - f1[name][1] for f1, _ in measured])  # (draws, rules)
        counts = np.array([found[name] for _, found in measured])  # (draws, parts, L)
        centred = counts - counts.mean(axis=0)
        known = np.corrcoef(centred[:, 0].ravel(), centred[:, 1].ravel())[0, 1]
        shown = ", ".join(f"{rule} {_mean(apart[:, k])}" for k, rule in enumerate(RULES))
        gained = _mean(apart[:, 0] - apart[:, 1])
        print(f"test part {name}: macro F1 on it above new samples: {shown}; counted - fixed {gained}")
        print(f"  correlation of a class's counts in the calibration and the test part {known:+.2f}")
    return 0


def _mean(values: np.ndarray) -> str:
    return f"{values.mean():+.4f} ± {1.96 * values.std(ddof=1) / np.sqrt(len(values)):.4f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
