"""Thresholds: the time of every rule on the real label table, beside a grid over scikit-learn's f1_score.

    python benchmarks/thresholds.py --labels train.csv [--classes 2] [--bootstrap] [--stack]

Real label vectors (31,072 x 28), drawn probabilities. The grid tries 99 thresholds on the first --classes classes, in
the same run, and its ratio is to `f1` on the same classes: nothing is extrapolated. Processor seconds, the best of
five. --bootstrap also times each rule with 200 resamples for its interval; --stack the fit of each aggregate on
the scores of nine members, on all samples, without folds. On two cores under other load: fixed 43, f1 69, plugin 70 ms;
sorting is most of it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from few_labels import read_table
from scipy.special import expit
from sklearn.metrics import f1_score

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.decide.rule import ThresholdOptions, ThresholdRule
from hpa_hier.ensemble.decide.threshold_rules import THRESHOLDS, f1_thresholds
from hpa_hier.ensemble.decide.thresholds import fit_thresholds
from hpa_hier.ensemble.fit import fit
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.metrics.ranking import Ranked
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy


def seconds(work: Callable[[], object], times: int = 5) -> float:
    """Processor seconds of the fastest of some runs."""
    found = []
    for _ in range(times):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def grid(probs: np.ndarray, present: np.ndarray) -> np.ndarray:
    """The best of 99 thresholds for each class by scikit-learn's f1_score, (n,)."""
    steps = np.arange(1, 100) / 100
    best = [
        steps[int(np.argmax([f1_score(present[:, j], probs[:, j] >= step) for step in steps]))]
        for j in range(probs.shape[1])
    ]
    return np.array(best)


def time_stack(logits: np.ndarray, present: np.ndarray) -> None:
    """Print the time of fitting each aggregate, on nine members that are these logits (B, 28) and noise."""
    taxonomy = Taxonomy.load("hierarchy/hpa28.yaml")
    rng = np.random.default_rng(1)
    ids = tuple(f"s{i:05d}" for i in range(len(logits)))
    leaves = tuple(str(taxonomy.find_node(str(label))) for label in range(present.shape[1]))
    members = [Scores(f"m{e}", ids, leaves, logits + rng.normal(size=logits.shape)) for e in range(9)]
    wide = np.zeros((len(ids), len(taxonomy.nodes)), bool)
    wide[:, [taxonomy.column[leaf] for leaf in leaves]] = present
    truth = Truth(ids, taxonomy.close(wide), np.ones_like(wide))
    for aggregate in ("mean", "logistic_stack"):
        settings = EnsembleSettings(aggregate=aggregate, folds=0, bootstrap=0)
        took = seconds(lambda settings=settings: fit(members, truth, taxonomy, settings), times=1)  # type: ignore[misc]
        print(f"{aggregate:11} {took:6.1f} s to fit on {len(ids):,} x {present.shape[1]} x 9 scores, no folds")


def main(arguments: list[str]) -> int:
    """Print times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, metavar="CSV", help="the competition's train.csv")
    parser.add_argument("--classes", type=int, default=2, help="that the grid is tried on")
    parser.add_argument("--bootstrap", action="store_true", help="time intervals too")
    parser.add_argument("--stack", action="store_true", help="time the aggregates too")
    options = parser.parse_args(arguments)
    present = read_table(options.labels)
    logits = 1.5 * np.random.default_rng(0).normal(size=present.shape) + 3 * present - 2
    probs, known = expit(logits), np.ones_like(present)
    nodes = tuple(map(str, range(present.shape[1])))

    def choose(rule: ThresholdRule, resamples: int) -> object:
        options = ThresholdOptions(resamples=resamples)
        return fit_thresholds(rule, nodes, probs, Targets(present, known), options)

    for name, rule in THRESHOLDS.items():
        took = seconds(lambda rule=rule: choose(rule, 0))  # type: ignore[misc]
        line = f"{name:11} {1e3 * took:6.0f} ms"
        if options.bootstrap:
            line += f"   with 200 resamples {seconds(lambda rule=rule: choose(rule, 200), 1):5.1f} s"  # type: ignore[misc]
        print(line, flush=True)
    few = slice(0, options.classes)
    ours = seconds(lambda: f1_thresholds(Ranked.of(probs[:, few], present[:, few], known[:, few])))
    theirs = seconds(lambda: grid(probs[:, few], present[:, few]), times=1)
    ranked = Ranked.of(probs[:, few], present[:, few], known[:, few])
    exact, tried = f1_thresholds(ranked), grid(probs[:, few], present[:, few])
    f1 = [
        np.mean([f1_score(present[:, j], probs[:, j] >= one[j]) for j in range(options.classes)])
        for one in (exact, tried)
    ]
    print(f"f1 on {options.classes} classes: {1e3 * ours:.1f} ms, F1 {f1[0]:.5f}")
    print(f"grid of 99 on these: {theirs:.2f} s, F1 {f1[1]:.5f}; {theirs / ours:.0f} times as long")
    if options.stack:
        time_stack(logits, present)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
