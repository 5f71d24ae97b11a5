"""Compare: paired differences between two systems, and which of many are more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from hpa_hier.metrics.arrays import Floats
from hpa_hier.metrics.influence import Measured, Sampling

_FEWEST_DEGREES = 3.0  # below which an interval would tell nothing


@dataclass(frozen=True)
class Difference:
    """One system's metric minus another's, on the same samples."""

    value: float  # NaN where either does not have the metric
    error: float  # its standard error, above 0
    sampling: Sampling
    degrees: float  # of freedom of the error

    @classmethod
    def between(cls, ours: Measured, theirs: Measured, sampling: Sampling) -> Difference:
        """Compare two systems' () metrics; what both lose or gain by the same units cancels."""
        apart = ours.influence - theirs.influence
        variance = sampling.variance(apart) + (ours.doubt + theirs.doubt) / 2
        degrees = min(degrees_of_freedom(apart), sampling.degrees)
        return cls(float(ours.value - theirs.value), float(np.sqrt(variance)), sampling, degrees)

    @classmethod
    def apart(cls, ours: Measured, theirs: Measured, sampling: Sampling, other: Sampling) -> Difference:
        """Compare () metrics of different samples: nothing cancels, and both errors add up.

        Source: degrees of freedom of Welch, Biometrika 1947.
        """
        variance, spread = 0.0, 0.0
        for one, drawn in ((ours, sampling), (theirs, other)):
            part = float(drawn.variance(one.influence) + one.doubt)
            variance += part
            spread += part**2 / min(degrees_of_freedom(np.asarray(one.influence, np.float64)), drawn.degrees)
        fewer = min((sampling, other), key=lambda drawn: drawn.units)
        value = float(ours.value - theirs.value)
        return cls(value, float(np.sqrt(variance)), fewer, variance**2 / spread if spread else _FEWEST_DEGREES)

    def interval(self) -> tuple[float, float]:
        """Return the bounds of its interval."""
        reach = float(student.ppf((1 + self.sampling.level) / 2, self.degrees)) * self.error
        return self.value - reach, self.value + reach

    def p_value(self) -> float:
        """Return how probable a difference as large, in either direction, is where there is none; 1 where undefined.

        Below 1 − level exactly where 0 is outside the interval.
        """
        if not isfinite(self.value):
            return 1.0
        return float(2 * student.sf(abs(self.value) / self.error, self.degrees))


def degrees_of_freedom(influence: Floats) -> float:
    """Return how many degrees of freedom a variance has that is estimated from contributions (U,).

    Where a few units, such as the images of a rare class, make most of it, it is known less well than from as many
    units that are alike, and an interval must reach further.

    Source: Satterthwaite, Biometrics Bulletin 1946, with the contributions' fourth moment for the variance's variance.

    >>> round(degrees_of_freedom(np.repeat([1.0, -1.0, 0.0], [5, 5, 90])), 1)
    22.2
    """
    second, fourth = float((influence**2).sum()), float((influence**4).sum())
    doubt = fourth - second**2 / len(influence)
    return max(_FEWEST_DEGREES, 2 * second**2 / doubt) if doubt > 0 else float(len(influence))


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
