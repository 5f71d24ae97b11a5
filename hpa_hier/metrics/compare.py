"""Compare: paired differences between two systems, and which of many are more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from hpa_hier.metrics.influence import Measured, Sampling


@dataclass(frozen=True)
class Difference:
    """One system's metric minus another's, on the same samples."""

    value: float  # NaN where either does not have the metric
    error: float  # its standard error, above 0
    sampling: Sampling

    @classmethod
    def between(cls, ours: Measured, theirs: Measured, sampling: Sampling) -> Difference:
        """Compare two systems' () metrics; what both lose or gain by the same units cancels."""
        variance = sampling.variance(ours.influence - theirs.influence) + (ours.doubt + theirs.doubt) / 2
        return cls(float(ours.value - theirs.value), float(np.sqrt(variance)), sampling)

    def interval(self) -> tuple[float, float]:
        """Return the bounds of its interval."""
        reach = self.sampling.quantile * self.error
        return self.value - reach, self.value + reach

    def p_value(self) -> float:
        """Return how probable a difference as large, in either direction, is where there is none; 1 where undefined.

        Below 1 − level exactly where 0 is outside the interval.
        """
        if not isfinite(self.value):
            return 1.0
        return float(2 * student.sf(abs(self.value) / self.error, self.sampling.degrees))


def holm(p_values: Sequence[float], alpha: float) -> NDArray[np.bool_]:
    """Choose which of many differences are more than chance, so that with probability 1 − alpha none is by chance.

    Source: sequentially rejective test, Holm, Scandinavian Journal of Statistics 1979.

    >>> holm([0.01, 0.04, 0.03], 0.05)
    array([ True, False, False])
    """
    order = np.argsort(p_values, kind="stable")
    small = np.asarray(p_values)[order] <= alpha / np.arange(len(order), 0, -1)
    chosen = np.zeros(len(order), bool)
    chosen[order[np.logical_and.accumulate(small)]] = True
    return chosen
