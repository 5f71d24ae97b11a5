"""Weighted sums: one logit for every node, from the members that answer for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from hpa_hier.ensemble.combine.aggregate import Aggregate, Layout, MemberLogits, Tensors
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.metrics.logistic import expit


@dataclass(frozen=True)
class Weighted(Aggregate):
    """A rule that multiplies each member's answer for each node by a weight: `shares`, (E, N)."""

    shares: Floats

    @property
    def weights(self) -> Floats:
        """The weights, (E, N)."""
        return self.shares

    def to_json(self, layout: Layout) -> dict[str, Any]:
        """Return weights by member and node."""
        return {"weights": layout.by_name(self.shares)}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any], tensors: Tensors, layout: Layout) -> Self:
        """Return the rule as it was fitted."""
        return cls(layout.as_array(kept["weights"]))


@dataclass(frozen=True)
class WeightedSum(Weighted):
    """Weights (E, N) and offsets (N,) of the members' calibrated logits."""

    summary: ClassVar[str] = "the members' calibrated logits, weighted and added"

    offset: Floats

    def logits(self, logits: MemberLogits) -> Floats:
        """Return the sums (B, N)."""
        return combine(logits.values, self.shares) + self.offset

    def apply(self, logits: MemberLogits) -> Floats:
        """Return probabilities (B, N)."""
        return np.asarray(expit(self.logits(logits)))

    def to_json(self, layout: Layout) -> dict[str, Any]:
        """Return weights by member and node, and offsets by node."""
        offset = dict(zip(layout.taxonomy.nodes, self.offset.tolist(), strict=True))
        return super().to_json(layout) | {"offset": offset}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any], tensors: Tensors, layout: Layout) -> Self:
        """Return the rule as it was fitted."""
        offset = np.array([float(kept["offset"][node]) for node in layout.taxonomy.nodes])
        return cls(layout.as_array(kept["weights"]), offset)


def combine(logits: Iterable[Floats], weights: Floats) -> Floats:
    """Add up the members' logits, each node with its own weights.

    Args:
        logits: E arrays (B, N), calibrated; anything finite where a member does not answer.
        weights: (E, N), 0 where a member does not answer.

    Returns:
        (B, N). A node with one member of weight 1 gets that member's logit to the last bit.

    >>> combine(np.array([[[2.0]], [[4.0]]]), np.array([[0.5], [0.25]]))
    array([[2.]])
    """
    return np.asarray(sum(one * weight for one, weight in zip(logits, weights, strict=True)))


def mean_weights(covers: Bools) -> Floats:
    """Give all members that answer for a node, `covers` (E, N), the same weight.

    Returns:
        (E, N); columns sum to 1, or to 0 where nobody answers.

    >>> mean_weights(np.array([[True, True], [True, False]]))
    array([[0.5, 1. ],
           [0.5, 0. ]])
    """
    return np.asarray(covers / np.maximum(covers.sum(axis=0), 1))


def concat_weights(covers: Bools) -> Floats:
    """Take each node from the most specialised member that answers for it: the one with the fewest nodes.

    Members equally specialised share the weight. The macro F1 of a concatenation is the class-count-weighted mean
    of its parts', so it gains only where a part beats the others on its own classes.

    Returns:
        (E, N), of `covers` (E, N); columns sum to 1, or to 0 where nobody answers.

    >>> concat_weights(np.array([[True, True], [True, False]]))
    array([[0., 1.],
           [1., 0.]])
    """
    breadth = np.where(covers, covers.sum(axis=1, keepdims=True), covers.shape[1] + 1)
    return mean_weights(covers & (breadth == breadth.min(axis=0)))
