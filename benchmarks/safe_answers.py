"""Safe answers and nodes that are not told apart, on real networks' scores in repeated halves.

    python benchmarks/safe_answers.py --scores eleven_networks.npz [--seeds 4] [--rows 300 1553]

An ensemble with the default settings is fitted on --rows samples drawn at random, and measured on all others: how often
its safe answers are right at every depth (pooled over draws, with a 95 % Wilson interval, which takes samples of
different draws for independent though draws share them), and the macro F1 over leaves of three decisions: as fitted;
without asking whether nodes are told apart; and with classes without a positive called above 0.5 instead of never.
About 2 s a draw on one core.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.special import logit

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.decide.rule import ThresholdOptions
from hpa_hier.ensemble.decide.threshold_rules import THRESHOLDS
from hpa_hier.ensemble.decide.thresholds import HALF, NEVER, fit_thresholds
from hpa_hier.ensemble.decision import Decision
from hpa_hier.ensemble.fit import cross_fit
from hpa_hier.ensemble.scores.fit_data import fit_data
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.metrics.scores import wilson
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

TREE = Taxonomy.load("hpa28")
LEAVES = tuple(str(TREE.find_node(str(label))) for label in range(28))
COLUMNS = [TREE.column[leaf] for leaf in LEAVES]


def macro_f1(called: np.ndarray, truth: np.ndarray) -> float:
    """Macro F1 over the leaves that have positives."""
    called, truth = called[:, COLUMNS], truth[:, COLUMNS]
    f1 = 2 * (called & truth).sum(axis=0) / np.maximum(called.sum(axis=0) + truth.sum(axis=0), 1)
    return float(f1[truth.any(axis=0)].mean())


def without_doubt(decision: Decision, probs: np.ndarray, truth: np.ndarray) -> Decision:
    """Return the decision with the thresholds that it would have if no node had to be told apart."""
    settings = EnsembleSettings(bootstrap=0)
    values = decision.thresholds.values.copy()
    doubtful = decision.thresholds.doubtful
    if doubtful.any():
        options = ThresholdOptions(small_class=settings.small_class_positives, resamples=0)
        targets = Targets(truth, np.ones_like(truth))
        plain = fit_thresholds(THRESHOLDS[settings.thresholds], TREE.nodes, probs, targets, options)
        values[doubtful] = plain.values[doubtful]
    rules = tuple("told" if rule == HALF else rule for rule in decision.thresholds.rules)
    return replace(decision, thresholds=replace(decision.thresholds, values=values, rules=rules))


def main(arguments: list[str]) -> int:
    """Print a block for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, required=True, metavar="NPZ", help="labels, scores and members")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--rows", type=int, nargs="+", default=[300, 1553])
    options = parser.parse_args(arguments)
    with np.load(options.scores, allow_pickle=False) as kept:
        labels, scores, members = kept["labels"].astype(bool), kept["scores"].astype(float), map(str, kept["members"])
    truth = np.zeros((len(labels), len(TREE.nodes)), bool)
    truth[:, COLUMNS] = labels
    truth = TREE.close(truth)
    logits = dict(zip(members, logit(np.clip(scores, 1e-5, 1 - 1e-5)), strict=True))
    depth = np.array([3 if TREE.is_leaf(node) else TREE.depth(node) for node in TREE.nodes])

    def handed(rows: np.ndarray) -> list[Scores]:
        ids = tuple(f"s{row:05d}" for row in rows)
        return [Scores(name, ids, LEAVES, values[rows]) for name, values in logits.items()]

    for size in options.rows:
        counts, f1, untold = np.zeros((4, 2)), [], []
        for seed in range(options.seeds):
            order = np.random.default_rng(seed).permutation(len(truth))
            fitting, rest = np.sort(order[:size]), np.sort(order[size:])
            given = Truth(tuple(f"s{row:05d}" for row in fitting), truth[fitting], np.ones_like(truth[fitting]))
            ensemble, held_out = cross_fit(fit_data(handed(fitting), given), TREE, EnsembleSettings(bootstrap=0))
            assert held_out is not None
            found = ensemble.predict(handed(rest))
            answered = np.flatnonzero(found.safe.column >= 0)
            answer = found.safe.column[answered]
            for d in (1, 2, 3):
                right = truth[rest][answered, answer][depth[answer] == d]
                counts[d] += right.sum(), len(right)
            told = without_doubt(ensemble.decision, held_out.probs, held_out.truth.present)
            never = told.thresholds.never
            above_half = replace(told.thresholds, values=np.where(never, 0.5, told.thresholds.values))
            systems = (ensemble.decision, told, replace(told, thresholds=above_half))
            f1.append([macro_f1(one.call(found.probs), truth[rest]) for one in systems])
            rules = dict(zip(TREE.nodes, ensemble.thresholds.rules, strict=True))
            untold.append([[rules[leaf] for leaf in LEAVES].count(rule) for rule in (HALF, NEVER)])
        print(f"{size:,} rows to fit on, {options.seeds} draws, {len(truth) - size:,} others to measure on")
        for d in (3, 2, 1):
            right, answers = counts[d]
            low, high = wilson(np.array(right), np.array(answers), 0.95)
            share = answers / options.seeds / (len(truth) - size)
            figure = f"{right / max(answers, 1):.3f} right [{low:.3f}, {high:.3f}]"
            print(f"  safe answers at depth {d}: {figure}, for {share:.1%} of samples")
        half, never_called = np.mean(untold, axis=0)
        print(f"  leaves without a positive {never_called:.1f}, not told apart {half:.1f}")
        for name, values in zip(("as fitted", "all told apart", "unseen above 0.5"), np.transpose(f1), strict=True):
            apart = values - np.transpose(f1)[1]
            print(f"  macro F1, {name}: {values.mean():.4f}; difference {apart.mean():+.4f}, worst {apart.min():+.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
