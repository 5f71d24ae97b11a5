"""Softmax: of an exclusive taxonomy, one leaf a sample; leaves share 1, and groups have the sum of their leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.combine.reconcile import Reconciler
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.taxonomy import Taxonomy

_STEEPEST = 20.0  # powers are sought from one over this to this
LEAST = 1e-12  # a probability of 0 counts as this


@dataclass(frozen=True)
class Softmax(Reconciler):
    """Leaves share a probability of 1 as the power of what each was given; a group has the sum of its leaves."""

    name: ClassVar[str] = "softmax"
    filling: ClassVar[str] = "the sum of its leaves"

    taxonomy: Taxonomy
    power: float  # 1: probabilities divided by their sum

    @classmethod
    def fit(cls, probs: Floats, answered: Bools, targets: Targets, taxonomy: Taxonomy) -> Self:
        """Choose the power of smallest log loss on samples whose leaf is known; 1 where there are none."""
        leaves = [taxonomy.column[leaf] for leaf in taxonomy.leaves]
        present = targets.present[:, leaves]
        rows = np.flatnonzero(targets.known[:, leaves].all(axis=1) & (present.sum(axis=1) == 1))
        if not len(rows):
            return cls(taxonomy, 1.0)
        from scipy.optimize import minimize_scalar  # a fifth of a second to import, and only fitting needs it

        given, leaf = probs[rows][:, leaves], np.argmax(present[rows], axis=1)

        def log_loss(log_power: float) -> float:
            shares = share_out(given, float(np.exp(log_power)))
            return -float(np.log(np.maximum(shares[np.arange(len(rows)), leaf], LEAST)).mean())

        widest = float(np.log(_STEEPEST))
        return cls(taxonomy, float(np.exp(minimize_scalar(log_loss, bounds=(-widest, widest), method="bounded").x)))

    def fill(self, probs: Floats, answered: Bools) -> Floats:
        """Return probabilities with the sum of its leaves, at most 1, for groups that nobody answers for."""
        return np.where(answered, probs, with_groups(probs, self.taxonomy))

    def apply(self, raw: Floats, answered: Bools) -> Floats:
        """Return leaves' shares, and of every group the sum of its leaves, each counted once."""
        leaves = [self.taxonomy.column[leaf] for leaf in self.taxonomy.leaves]
        probs = raw.copy()
        probs[:, leaves] = share_out(raw[:, leaves], self.power)
        return with_groups(probs, self.taxonomy)

    def to_json(self, taxonomy: Taxonomy) -> dict[str, Any]:
        """Return the power."""
        return {"power": self.power}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any], taxonomy: Taxonomy) -> Self:
        """Return the rule as it was fitted."""
        return cls(taxonomy, float(kept["power"]))


def share_out(probs: Floats, power: float) -> Floats:
    """Return probabilities (B, L) as shares of 1 in the ratio of their powers: a softmax of their logarithms.

    With a power of 1 the probabilities of one leaf against the rest stay as they are where they add up to 1.

    Args:
        probs: (B, L) in [0, 1].
        power: above 0; the larger, the surer.

    >>> share_out(np.array([[0.6, 0.2]]), 1.0).round(3)
    array([[0.75, 0.25]])
    """
    logs = power * np.log(np.maximum(probs, LEAST))
    shares = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(shares / _total(shares, range(probs.shape[1]))[:, None])


def with_groups(probs: Floats, taxonomy: Taxonomy) -> Floats:
    """Return probabilities (B, N) in which every group has the sum of its leaves, each counted once, at most 1."""
    summed = probs.copy()
    for group, _ in taxonomy.bottom_up:
        below = [taxonomy.column[leaf] for leaf in taxonomy.leaves_below(taxonomy.nodes[group])]
        summed[:, group] = np.minimum(_total(probs, below), 1.0)
    return summed


def _total(values: Floats, columns: Sequence[int]) -> Floats:
    """Add columns up one by one: the same to the last bit in any batch, and no less than the sum of some of them."""
    total = np.zeros(len(values))
    for column in columns:
        total = total + values[:, column]
    return total
