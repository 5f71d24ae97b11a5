"""Reconciliation: coherent probabilities, no node more likely than a node above it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.combine.aggregate import fill_from_children
from hpa_hier.metrics.arrays import Bools, Floats, Order
from hpa_hier.taxonomy import Taxonomy


class Reconciler(ABC):
    """A fitted rule. A new one is a class like this in a file of its own, and a row in `rules.RECONCILERS`."""

    name: ClassVar[str]
    filling: ClassVar[str]  # what a group that no member answers for gets, for `explain`

    @classmethod
    @abstractmethod
    def fit(cls, probs: Floats, answered: Bools, targets: Targets, taxonomy: Taxonomy) -> Self:
        """Fit the rule.

        Args:
            probs: (B, N) after aggregation; anything in [0, 1] where nobody answers.
            answered: (N,) or (B, N) which nodes some member answers for; False for groups alone.
            targets: (B, N).
            taxonomy: the label tree; its nodes are the columns.
        """

    @abstractmethod
    def fill(self, probs: Floats, answered: Bools) -> Floats:
        """Return probabilities (B, N) in which groups that nobody answers for follow from the nodes below them."""

    @abstractmethod
    def apply(self, raw: Floats, answered: Bools) -> Floats:
        """Return coherent probabilities (B, N) of filled ones, each row on its own."""

    def describe(self, raw: Floats, answered: Bools, taxonomy: Taxonomy, node: str) -> str:
        """Describe what became of a node of one sample, raw (1, N), beyond lifting; "" where nothing did."""
        return ""

    def to_json(self, taxonomy: Taxonomy) -> dict[str, Any]:
        """Return what the rule was fitted to, by names; nothing where it only follows the taxonomy."""
        return {}

    @classmethod
    @abstractmethod
    def from_json(cls, kept: Mapping[str, Any], taxonomy: Taxonomy) -> Self:
        """Return the rule as it was fitted."""


@dataclass(frozen=True)
class Lift(Reconciler):
    """Raise every group to the largest probability among its children; order as taxonomy.bottom_up."""

    name: ClassVar[str] = "lift"
    filling: ClassVar[str] = "the largest of its children"

    order: Order

    @classmethod
    def fit(cls, probs: Floats, answered: Bools, targets: Targets, taxonomy: Taxonomy) -> Self:
        """There is nothing to fit."""
        return cls(taxonomy.bottom_up)

    def fill(self, probs: Floats, answered: Bools) -> Floats:
        """Return probabilities with the largest child's for groups that nobody answers for."""
        return fill_from_children(probs, answered, self.order)

    def apply(self, raw: Floats, answered: Bools) -> Floats:
        """Return lifted probabilities."""
        return lift(raw, self.order)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any], taxonomy: Taxonomy) -> Self:
        """Return the rule of a taxonomy."""
        return cls(taxonomy.bottom_up)


def lift(probs: Floats, order: Order) -> Floats:
    """Raise every group to the largest probability among its children.

    Args:
        probs: (B, N) in [0, 1]; columns as taxonomy.nodes.
        order: (group, children) columns, deepest group first, as taxonomy.bottom_up.

    Returns:
        (B, N); no node is more likely than a node above it, and leaf columns are bit-identical to the input's.

    Source: max constraint, Giunchiglia & Lukasiewicz, NeurIPS 2020.

    >>> lift(np.array([[0.2, 0.7]]), [(0, (1,))])
    array([[0.7, 0.7]])
    """
    lifted = probs.copy()
    for group, children in order:
        lifted[:, group] = np.maximum(lifted[:, group], lifted[:, children].max(axis=1))
    return lifted
