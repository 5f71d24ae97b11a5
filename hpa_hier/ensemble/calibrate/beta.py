"""Beta calibration: a temperature, then a slope of its own for doubt and for certainty, and an offset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.calibrate.calibration import Calibration
from hpa_hier.ensemble.calibrate.temperature import Temperature
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.metrics.logistic import expit

_NEAR = 1.0  # precision of the slopes around 1 and of the offset around 0, as a count of logistic observations
_FLATTEST = 0.01  # of the slopes: calibration keeps a member's order
_START = np.array([1.0, 1.0, 0.0])
_EXACT = {"ftol": 1e-13, "gtol": 1e-8}


@dataclass(frozen=True)
class Beta(Calibration):
    """A member's p, its temperature put right, becomes the logit low · ln p − high · ln(1 − p) + offset.

    Towards 0 that is a line of slope `low`, towards 1 one of slope `high`. A temperature alone cannot put right a
    member that is loud where it is sure and timid where it is not, and in a sum of logits such a member outvotes the
    others. All nodes of a member share the numbers, so that rare ones have them too; where labels are few, they stay
    near 1, 1 and 0.

    Source: Kull, Silva Filho & Flach, Beta calibration, AISTATS 2017.
    """

    name: ClassVar[str] = "beta"

    low: float = 1.0  # above 0
    high: float = 1.0

    @classmethod
    def fit(cls, nodes: tuple[str, ...], logits: Floats, targets: Targets, shrink: float) -> Self:
        """Fit temperature, slopes and offset; `shrink` is not used: all nodes together have positives enough."""
        temperature = Temperature.fit(nodes, logits, targets, shrink)
        low, high, offset = _fit(temperature.apply(logits)[targets.known], targets.present[targets.known])
        return cls(nodes, temperature.slope, np.full(len(nodes), offset), low, high)

    def apply(self, logits: Floats) -> Floats:
        """Return calibrated logits (B, n) of logits (B, n), columns as `nodes`."""
        low, high = _halves(logits * self.slope)
        return np.asarray(self.low * low + self.high * high + self.offset)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by node."""
        return {node: row | {"low": self.low, "high": self.high} for node, row in super().to_json().items()}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """Return the rule as it was fitted."""
        one = next(iter(kept.values()))
        return replace(super().from_json(kept), low=float(one["low"]), high=float(one["high"]))


def _halves(logits: Floats) -> tuple[Floats, Floats]:
    """Return ln p and −ln(1 − p) of logits; their sum is the logit."""
    return -np.logaddexp(0.0, -logits), np.logaddexp(0.0, logits)


def _fit(logits: Floats, present: Bools) -> tuple[float, float, float]:
    """Fit low, high and offset to logits (m,) and targets (m,)."""
    from scipy.optimize import minimize  # a fifth of a second to import, and only fitting needs it

    design, goals = np.stack([*_halves(logits), np.ones_like(logits)]), present.astype(np.float64)
    total, losses, spare = np.empty_like(goals), np.empty_like(goals), np.empty_like(goals)  # used again at each call

    def loss(parameters: Floats) -> tuple[float, Floats]:
        apart = parameters - _START
        np.matmul(parameters, design, out=total)
        np.subtract(np.logaddexp(0.0, total, out=losses), np.multiply(goals, total, out=spare), out=losses)
        value = losses.sum() + _NEAR * apart @ apart / 2
        errors = np.subtract(expit(total, out=spare), goals, out=spare)
        return value, design @ errors + _NEAR * apart

    bounds = [(_FLATTEST, None), (_FLATTEST, None), (None, None)]
    found = minimize(loss, _START, jac=True, method="L-BFGS-B", bounds=bounds, options=_EXACT)
    low, high, offset = found.x.tolist()
    return low, high, offset
