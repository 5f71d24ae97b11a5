"""Estimate: one system's metrics, each with its interval, and what its difference to another system says."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hpa_hier.evaluate.measure import Measured
from hpa_hier.evaluate.results import Estimate, NodeEstimates, Verdict
from hpa_hier.metrics import scores as metrics
from hpa_hier.metrics.bootstrap import interval
from hpa_hier.metrics.scores import Floats


@dataclass(frozen=True)
class System:
    """One system's metrics as they are and, where asked for, on resamples."""

    points: Measured
    resampled: Measured  # empty without resamples
    level: float  # of the intervals

    def estimate(self, key: str, largest: float = 1) -> Estimate:
        """Estimate a metric between 0 and `largest`."""
        return _estimates(self.points[key], self.resampled.get(key), self.level, (0, largest))[0]

    def minus(self, other: System, key: str, largest: float = 1) -> Estimate:
        """Estimate the paired difference in a metric between 0 and `largest`."""
        paired = self.resampled[key] - other.resampled[key] if self.resampled else None
        return _estimates(self.points[key] - other.points[key], paired, self.level, (-largest, largest))[0]

    def node_estimates(self, counts: metrics.Counts | None = None) -> list[NodeEstimates]:
        """Estimate each node's metrics; with counts, precision and recall have Wilson's interval where that is wider.

        Where all of three positives are found, every resample finds all of them too, and the bootstrap alone would
        have no doubt.
        """
        keys = NodeEstimates.__dataclass_fields__
        wilson = {}
        if counts:
            wilson["precision"] = metrics.wilson(counts.tp, counts.tp + counts.fp, self.level)
            wilson["recall"] = metrics.wilson(counts.tp, counts.tp + counts.fn, self.level)
        columns = [_estimates(self.points[k], self.resampled.get(k), self.level, wilson=wilson.get(k)) for k in keys]
        return [NodeEstimates(*row) for row in zip(*columns, strict=True)]


def _estimates(
    points: Floats,
    resampled: Floats | None,
    level: float,
    possible: tuple[float, float] = (0, 1),
    wilson: tuple[Floats, Floats] | None = None,
) -> list[Estimate]:
    """Return the estimate of one metric, or of each of (N,)."""
    if resampled is None:
        return [Estimate(plain(point)) for point in np.atleast_1d(points)]
    low, high = (np.clip(bound, *possible) for bound in interval(resampled, points, level))
    if wilson:
        low, high = np.fmin(low, wilson[0]), np.fmax(high, wilson[1])
    return [Estimate(*map(plain, row)) for row in zip(*map(np.atleast_1d, (points, low, high)), strict=True)]


def plain(value: float) -> float | None:
    """Return a number as results hold it: None where it is not finite."""
    return float(value) if math.isfinite(value) else None


def judge(difference: Estimate, higher_is_better: bool) -> Verdict | None:
    """Judge a paired difference by its interval; None where there is no interval.

    >>> judge(Estimate(0.02, 0.01, 0.03), higher_is_better=True)
    'better'
    >>> judge(Estimate(0.02, -0.01, 0.05), higher_is_better=True)
    'no clear difference'
    """
    if difference.value is None or difference.low is None or difference.high is None:
        return None
    if difference.low <= 0 <= difference.high:
        return "no clear difference"
    return "better" if (difference.value > 0) == higher_is_better else "worse"
