"""Isotonic calibration: a rising curve for every node, near Platt's line where positives are few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.calibrate.calibration import Calibration
from hpa_hier.ensemble.calibrate.platt import Platt, count_fewer, platt_goals
from hpa_hier.metrics.arrays import Floats
from hpa_hier.metrics.logistic import logit


@dataclass(frozen=True)
class Curve:
    """A rising line from logits to logits, straight between its knots and level beyond them."""

    knots: tuple[float, ...]  # (k,) logits, rising
    heights: tuple[float, ...]  # (k,) calibrated logits, not falling
    share: float  # in [0, 1], how much the curve counts beside the line of slope and offset

    def bend(self, logits: Floats, line: Floats) -> Floats:
        """Return the calibrated logits (B,) of logits (B,), given those of the line.

        >>> Curve((0.0, 1.0), (0.0, 4.0), 0.5).bend(np.array([0.5]), np.array([1.0]))
        array([1.5])
        """
        return (1 - self.share) * line + self.share * np.interp(logits, self.knots, self.heights)


@dataclass(frozen=True)
class Isotonic(Calibration):
    """Platt's line, bent by a rising curve for each node, the more so the more positives there are."""

    name: ClassVar[str] = "isotonic"

    curves: tuple[Curve, ...] = ()

    @classmethod
    def fit(cls, nodes: tuple[str, ...], logits: Floats, targets: Targets, shrink: float) -> Self:
        """Fit line and curves; `shrink` is the number of positives at which a node's own slope and curve count half."""
        line = Platt.fit(nodes, logits, targets, shrink)
        return cls(nodes, line.slope, line.offset, fit_curves(logits, targets, shrink))

    def apply(self, logits: Floats) -> Floats:
        """Return calibrated logits (B, n) of logits (B, n), columns as `nodes`."""
        line = super().apply(logits)
        for j, curve in enumerate(self.curves):
            line[:, j] = curve.bend(logits[:, j], line[:, j])
        return line

    def to_json(self) -> dict[str, Any]:
        """Return slopes, offsets and curves by node."""
        lines = super().to_json().items()
        return {node: {**line, "curve": asdict(curve)} for (node, line), curve in zip(lines, self.curves, strict=True)}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """Return the rule as it was fitted."""
        curves = [row["curve"] for row in kept.values()]
        bent = tuple(Curve(tuple(one["knots"]), tuple(one["heights"]), float(one["share"])) for one in curves)
        return replace(super().from_json(kept), curves=bent)


def fit_curves(logits: Floats, targets: Targets, shrink: float) -> tuple[Curve, ...]:
    """Fit a rising curve for every node by pooling adjacent violators.

    Goals are Platt's, so that no height is infinite. A curve counts n / (n + shrink), n the rarer of the node's
    positives and negatives: a rising curve needs hundreds of them.

    Args:
        logits: (B, n).
        targets: (B, n); where not known, the sample does not count.
        shrink: positives at which the curve counts half.
    """
    goals, fewer, level = platt_goals(targets), count_fewer(targets), Curve((0.0,), (0.0,), 0.0)
    return tuple(
        _fit_curve(logits[known, j], goals[known, j], fewer[j] / (fewer[j] + shrink)) if fewer[j] else level
        for j, known in enumerate(targets.known.T)
    )


def _fit_curve(logits: Floats, goals: Floats, share: float) -> Curve:
    from scipy.optimize import isotonic_regression  # a fifth of a second to import, and only fitting needs it

    places, which, counts = np.unique(logits, return_inverse=True, return_counts=True)
    means = np.bincount(which, weights=goals) / counts  # equal logits get equal probabilities
    fitted = isotonic_regression(means, weights=counts.astype(np.float64))
    starts = fitted.blocks[:-1]
    knots = np.add.reduceat(places, starts) / np.diff(fitted.blocks)
    heights = logit(np.clip(fitted.x[starts], 1e-9, 1 - 1e-9))
    return Curve(tuple(knots.tolist()), tuple(heights.tolist()), float(share))
