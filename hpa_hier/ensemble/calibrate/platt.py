"""Platt's calibration: a slope and an offset for every node, the slope shrunk where positives are few."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.calibrate.calibration import Calibration
from hpa_hier.ensemble.calibrate.temperature import QUIETEST, root_of_rising
from hpa_hier.ensemble.logistic import LogisticProblem, NormalPrior, solve
from hpa_hier.metrics.arrays import Floats
from hpa_hier.metrics.logistic import expit, logit

_WEAK = 1e-9  # precision of a prior that only keeps constant or unknown logits solvable
_STEEPEST = 1e6


class Platt(Calibration):
    """A node's slope is (1 - w) * shared + w * own with w = n / (n + shrink), where n counts its positives or its
    negatives, whichever are fewer; the offset is then fitted again. The goals are Platt's (n + 1) / (n + 2) and
    1 / (n + 2), so everything stays finite for nodes that are separable or have no positive. Slopes are above 0, so
    the order of samples is kept.

    Source: Platt, Probabilistic outputs for support vector machines, 1999.
    """

    name: ClassVar[str] = "platt"

    @classmethod
    def fit(cls, nodes: tuple[str, ...], logits: Floats, targets: Targets, shrink: float) -> Self:
        """Fit slopes and offsets; `shrink` is the number of positives at which a node's own slope counts half."""
        counted = targets.known.astype(np.float64)
        centre = (logits * counted).sum(axis=0) / np.maximum(counted.sum(axis=0), 1.0)
        centred = logits - centre
        scale = float(np.sqrt((counted * centred**2).sum() / max(counted.sum(), 1.0))) or 1.0
        x = (centred / scale).T
        goals, counted = platt_goals(targets).T, np.ascontiguousarray(counted.T)

        shared, offset = _shared_slope(x, goals, counted)
        start = np.stack([np.full(len(nodes), shared), offset], axis=1)
        design = np.stack([x, np.ones_like(x)], axis=2)
        weak = NormalPrior(start, np.full(2, _WEAK))
        own = solve(LogisticProblem(design, goals, counted), start, weak)[:, 0]
        fewer = count_fewer(targets)
        share = np.where(fewer > 0, fewer / np.maximum(fewer + shrink, 1e-12), 0.0)
        slope = np.maximum((1 - share) * shared + share * own, QUIETEST)
        offset = _offsets(x * slope[:, None], goals, counted, offset)
        return cls(nodes, slope / scale, offset - slope * centre / scale)


def platt_goals(targets: Targets) -> Floats:
    """Return Platt's goals (B, n): (n + 1) / (n + 2) for n positives, 1 / (n + 2) for n negatives.

    >>> platt_goals(Targets(np.array([[True], [False], [False]]), np.ones((3, 1), bool)))[:, 0].round(3)
    array([0.667, 0.25 , 0.25 ])
    """
    positives = (targets.present & targets.known).sum(axis=0)
    negatives = (~targets.present & targets.known).sum(axis=0)
    return np.asarray(np.where(targets.present, (positives + 1) / (positives + 2), 1 / (negatives + 2)))


def count_fewer(targets: Targets) -> Floats:
    """Return each node's positives or negatives, whichever are fewer, (n,).

    >>> count_fewer(Targets(np.array([[True], [False], [False]]), np.ones((3, 1), bool)))
    array([1.])
    """
    positives = (targets.present & targets.known).sum(axis=0)
    return np.asarray(np.minimum(positives, targets.known.sum(axis=0) - positives), np.float64)


def _shared_slope(x: Floats, goals: Floats, counted: Floats) -> tuple[float, Floats]:
    """Return the one slope of smallest loss over nodes that have offsets of their own, and these, (n,)."""
    share = (goals * counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1.0)
    offset = logit(np.where(counted.any(axis=1), share, 0.5))

    def rise(slope: float) -> float:
        nonlocal offset
        offset = _offsets(slope * x, goals, counted, offset)
        return float(((expit(slope * x + offset[:, None]) - goals) * counted * x).sum())

    slope = root_of_rising(rise, QUIETEST, _STEEPEST, 1.0)  # x has unit scale, so 1 is no extreme
    return slope, _offsets(slope * x, goals, counted, offset)


def _offsets(base: Floats, goals: Floats, counted: Floats, start: Floats) -> Floats:
    """Return the offset of smallest loss beside logits that are given, (n,)."""
    problem = LogisticProblem(np.ones((*base.shape, 1)), goals, counted, base)
    weak = NormalPrior(start[:, None], np.full(1, _WEAK))
    return np.asarray(solve(problem, start[:, None], weak)[:, 0])
