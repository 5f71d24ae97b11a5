"""Temperature: all logits of a member divided by one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Self

import numpy as np

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.calibrate.calibration import Calibration
from hpa_hier.metrics.arrays import Floats
from hpa_hier.metrics.logistic import expit

# Between these is the root mean square of a member's calibrated logits, however loud it was: its order is never turned
# round or lost, and logits that separate the labels do not become infinite.
QUIETEST, _LOUDEST = 1e-3, 100.0


class Temperature(Calibration):
    """One slope for all nodes, that of smallest log loss, and no offset.

    Source: Guo et al., On calibration of modern neural networks, ICML 2017.
    """

    name: ClassVar[str] = "temperature"

    @classmethod
    def fit(cls, nodes: tuple[str, ...], logits: Floats, targets: Targets, shrink: float) -> Self:
        """Fit the slope; `shrink` is not used: one number for all nodes has positives enough."""
        x, present = logits[targets.known], targets.present[targets.known]
        scale = (float(np.sqrt((x**2).mean())) if x.size else 0.0) or 1.0  # root mean square
        x, spare = x / scale, np.empty_like(x / scale)  # used again at each call

        def rise(slope: float) -> float:
            np.subtract(expit(np.multiply(slope, x, out=spare), out=spare), present, out=spare)
            return float(np.multiply(spare, x, out=spare).sum())

        slope = root_of_rising(rise, QUIETEST, _LOUDEST, 1.0)
        return cls(nodes, np.full(len(nodes), slope / scale), np.zeros(len(nodes)))


def root_of_rising(function: Callable[[float], float], low: float, high: float, guess: float) -> float:
    """Return where a rising function is 0; `low` or `high` where it is not between them.

    >>> round(root_of_rising(lambda x: x**3 - 8, 0.1, 100.0, 1.0), 9)
    2.0
    """
    from scipy.optimize import brentq  # a fifth of a second to import, and only fitting needs it

    below = above = min(max(guess, low), high)
    while below > low and function(below) > 0:
        above, below = below, max(low, below / 4)
    while above < high and function(above) < 0:
        below, above = above, min(high, above * 4)
    if function(below) >= 0:
        return below
    return above if function(above) <= 0 else float(brentq(function, below, above, xtol=1e-12, rtol=1e-14))
