"""Risk: how often answers are wrong, over how many samples are answered; and how deep safe answers reach."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpa_hier.evaluate.evaluation import Answers, Evaluation
from hpa_hier.metrics import scores as metrics

_POINTS = 50  # of a curve
_LEAF = 99  # deeper than any group
_LEVEL = 0.95  # of the intervals


def risk_coverage(evaluation: Evaluation, answers: Answers) -> list[dict[str, float]]:
    """Follow each sample's most likely leaf from the surest sample down.

    Returns:
        Points with coverage, the share of samples answered, and risk, the share of these whose leaf is wrong.
    """
    leaves = evaluation.leaf_columns
    rows = np.arange(len(answers.probs))
    best = leaves[np.argmax(answers.probs[:, leaves], axis=1)]
    told = evaluation.known[rows, best]
    confidence, right = answers.probs[rows, best][told], evaluation.targets[rows, best][told]
    if not len(right):
        return []
    wrong = np.cumsum(~right[np.argsort(-confidence, kind="stable")])
    ends = np.unique(np.linspace(1, len(right), min(_POINTS, len(right))).round().astype(int))
    return [{"coverage": float(end / len(right)), "risk": float(wrong[end - 1] / end)} for end in ends]


def safe_shares(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Count safe answers: all together, leaves, groups of each depth, and unsure.

    Returns:
        Rows with name, share of all samples, right (share of the answers that are right; None without answers) and
        Wilson's low and high for it; nothing where the evaluation holds no safe answers.
    """
    if not evaluation.safe:
        return []
    taxonomy = evaluation.taxonomy
    column = np.array([taxonomy.column.get(name, -1) for name in evaluation.safe])
    rows = np.arange(len(column))
    told = (column >= 0) & evaluation.known[rows, column]
    right = told & evaluation.targets[rows, column]
    depth = np.array([_depth(evaluation, name) for name in evaluation.safe])
    kinds = [("all answers", column >= 0), ("leaves", depth == _LEAF)]
    kinds += [(f"groups at depth {d}", depth == d) for d in sorted({*depth.tolist()} - {0, _LEAF}, reverse=True)]
    return [_row(name, chosen, told, right) for name, chosen in [*kinds, ("unsure", column < 0)]]


def _depth(evaluation: Evaluation, name: str) -> int:
    taxonomy = evaluation.taxonomy
    if name not in taxonomy.column:
        return 0
    return _LEAF if taxonomy.is_leaf(name) else taxonomy.depth(name)


def _row(name: str, chosen: metrics.Bools, told: metrics.Bools, right: metrics.Bools) -> dict[str, Any]:
    answers, hits = int((chosen & told).sum()), int((chosen & right).sum())
    low, high = metrics.wilson(np.array([float(hits)]), np.array([float(answers)]), _LEVEL)
    some = answers > 0
    return {
        "name": name,
        "samples": int(chosen.sum()),
        "share": float(chosen.mean()),
        "right": hits / answers if some else None,
        "low": float(low[0]) if some else None,
        "high": float(high[0]) if some else None,
    }
