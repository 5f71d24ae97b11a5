"""Weighted sums: one logit for every node, from the members that answer for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import expit

from hpa_hier.ensemble.combine.aggregate import Aggregate, Layout, MemberLogits, Tensors
from hpa_hier.metrics.arrays import Bools, Floats


@dataclass(frozen=True)
class WeightedSum(Aggregate):
    """Weights (E, N) and offsets (N,) of the members' calibrated logits."""

    summary: ClassVar[str] = "the members' calibrated logits, weighted and added"

    shares: Floats
    offset: Floats

    @property
    def weights(self) -> Floats:
        """What each member's logit of each node is multiplied by, (E, N)."""
        return self.shares

    def logits(self, logits: MemberLogits) -> Floats:
        """Return the sums (B, N)."""
        return combine(logits.values, self.shares) + self.offset

    def apply(self, logits: MemberLogits) -> Floats:
        """Return probabilities (B, N)."""
        probs: Floats = expit(self.logits(logits))
        return probs

    def to_json(self, layout: Layout) -> dict[str, Any]:
        """Return weights by member and node, and offsets by node."""
        nodes = layout.taxonomy.nodes
        offset = {node: float(value) for node, value in zip(nodes, self.offset, strict=True)}
        return {"weights": layout.by_name(self.shares), "offset": offset}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any], tensors: Tensors, layout: Layout) -> Self:
        """Return the sum as it was fitted."""
        offset = np.array([float(kept["offset"][node]) for node in layout.taxonomy.nodes])
        return cls(layout.as_array(kept["weights"]), offset)


def combine(logits: Sequence[Floats] | Floats, weights: Floats) -> Floats:
    """Add up the members' logits, each node with its own weights.

    Args:
        logits: E arrays (B, N), calibrated; anything finite where a member does not answer.
        weights: (E, N), 0 where a member does not answer.

    Returns:
        (B, N). A node with one member of weight 1 gets that member's logit to the last bit.

    >>> combine(np.array([[[2.0]], [[4.0]]]), np.array([[0.5], [0.25]]))
    array([[2.]])
    """
    total = np.zeros_like(logits[0])
    for one, weight in zip(logits, weights, strict=True):
        total += one * weight
    return total


def mean_weights(covers: Bools) -> Floats:
    """Give all members that answer for a node the same weight.

    Args:
        covers: (E, N) which member answers for which node.

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

    Args:
        covers: (E, N) which member answers for which node.

    Returns:
        (E, N); columns sum to 1, or to 0 where nobody answers.

    >>> concat_weights(np.array([[True, True], [True, False]]))
    array([[0., 1.],
           [1., 0.]])
    """
    breadth = np.where(covers, covers.sum(axis=1, keepdims=True), covers.shape[1] + 1)
    return mean_weights(covers & (breadth == breadth.min(axis=0)))
