"""Trust: how far answers can be relied on: reliability, risk over coverage, and safe answers."""

from __future__ import annotations

import numpy as np

from hpa_hier.evaluate.results import ReliabilityBin, RiskPoint, SafeShare
from hpa_hier.metrics import scores as metrics
from hpa_hier.metrics.scores import Bools
from hpa_hier.runs.evaluation import Evaluation, SystemAnswers


def reliability(
    evaluation: Evaluation, answers: SystemAnswers, level: float, bins: int = 10
) -> tuple[ReliabilityBin, ...]:
    """Compare probability with the share that is true, over all leaves together, in bins of equal width."""
    leaves = evaluation.leaf_columns
    sums = metrics.calibration_sums(
        answers.probs[:, leaves], evaluation.targets[:, leaves], evaluation.known[:, leaves], bins
    )
    entries, probs, truth = (values.sum(axis=0) for values in (sums.entries, sums.probs, sums.truth))
    columns = (probs / np.maximum(entries, 1), truth / np.maximum(entries, 1), *metrics.wilson(truth, entries, level))
    return tuple(
        ReliabilityBin(int(entries[k]), *(float(column[k]) for column in columns)) for k in np.flatnonzero(entries)
    )


def risk_coverage(evaluation: Evaluation, answers: SystemAnswers, points: int = 50) -> tuple[RiskPoint, ...]:
    """Follow each sample's most likely leaf from the most confident sample down; unlabelled leaves are left out."""
    leaves = evaluation.leaf_columns
    rows = np.arange(len(answers.probs))
    best = leaves[np.argmax(answers.probs[:, leaves], axis=1)]
    known = evaluation.known[rows, best]
    confidence, right = answers.probs[rows, best][known], evaluation.targets[rows, best][known]
    if not len(right):
        return ()
    wrong = np.cumsum(~right[np.argsort(-confidence, kind="stable")])
    ends = np.unique(np.linspace(1, len(right), min(points, len(right))).round().astype(int))
    return tuple(RiskPoint(float(end / len(right)), float(wrong[end - 1] / end)) for end in ends)


def safe_shares(evaluation: Evaluation) -> tuple[SafeShare, ...]:
    """Count safe answers: all together, leaves, groups of each depth, and unsure.

    Returns:
        Rows with 95 % Wilson intervals for the share that is right; none where the evaluation holds no safe answers.
    """
    if not evaluation.safe:
        return ()
    taxonomy, rows = evaluation.taxonomy, np.arange(len(evaluation.safe))
    column = np.array([taxonomy.column.get(name, -1) for name in evaluation.safe])
    depth = np.array([taxonomy.depth(name) if name in taxonomy.column else 0 for name in evaluation.safe])
    answered, leaf = column >= 0, np.isin(column, evaluation.leaf_columns)
    known = answered & evaluation.known[rows, column]
    right = known & evaluation.targets[rows, column]
    depth[leaf] = 0
    kinds = {"all answers": answered, "leaves": leaf}
    kinds |= {f"groups at depth {d}": depth == d for d in sorted({*depth.tolist()} - {0}, reverse=True)}
    return tuple(_share(name, chosen, known, right) for name, chosen in (kinds | {"unsure": ~answered}).items())


def _share(name: str, chosen: Bools, known: Bools, right: Bools) -> SafeShare:
    answers, hits = int((chosen & known).sum()), int((chosen & right).sum())
    if not answers:
        return SafeShare(name, int(chosen.sum()), float(chosen.mean()), None, None, None)
    low, high = metrics.wilson(np.array(float(hits)), np.array(float(answers)), 0.95)
    return SafeShare(name, int(chosen.sum()), float(chosen.mean()), hits / answers, float(low), float(high))
