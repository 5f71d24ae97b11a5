"""Isotonic calibration: a rising curve for every node, near Platt's line where positives are few."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import logit

from hpa_hier.metrics.arrays import Bools, Floats


@dataclass(frozen=True)
class Curve:
    """A rising line from logits to logits, straight between its knots and level beyond them.

    Attributes:
        knots: (k,) logits, rising.
        heights: (k,) calibrated logits, not falling.
        share: in [0, 1], how much the curve counts beside the line of slope and offset.
    """

    knots: tuple[float, ...]
    heights: tuple[float, ...]
    share: float

    def bend(self, logits: Floats, line: Floats) -> Floats:
        """Return the calibrated logits (B,) of logits (B,), given those of the line."""
        if not self.share:
            return line
        return (1 - self.share) * line + self.share * np.interp(logits, self.knots, self.heights)


def isotonic(logits: Floats, present: Bools, known: Bools, shrink: float) -> tuple[Curve, ...]:
    """Fit a rising curve for every node by pooling adjacent violators.

    Goals are Platt's, so that no height is infinite. A curve counts n / (n + shrink), n the rarer of the node's
    positives and negatives: a rising curve needs hundreds of them.

    Args:
        logits: (B, n).
        present: (B, n) targets.
        known: (B, n); where False the sample does not count.
        shrink: positives at which the curve counts half.

    Returns:
        One curve a node.
    """
    return tuple(_curve(logits[:, j][known[:, j]], present[:, j][known[:, j]], shrink) for j in range(logits.shape[1]))


def _curve(logits: Floats, present: Bools, shrink: float) -> Curve:
    positives, negatives = int(present.sum()), int((~present).sum())
    fewer = min(positives, negatives)
    if not fewer:
        return Curve((0.0,), (0.0,), 0.0)
    goals = np.where(present, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    places, which, counts = np.unique(logits, return_inverse=True, return_counts=True)
    means = np.bincount(which, weights=goals) / counts  # equal logits get equal probabilities
    fitted = isotonic_regression(means, weights=counts.astype(np.float64))
    starts = fitted.blocks[:-1]
    sizes = np.diff(fitted.blocks)
    knots = np.add.reduceat(places, starts) / sizes
    heights = logit(np.clip(fitted.x[starts], 1e-9, 1 - 1e-9))
    return Curve(tuple(map(float, knots)), tuple(map(float, heights)), fewer / (fewer + shrink))
