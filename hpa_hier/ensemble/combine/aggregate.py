"""Aggregates: what every rule that makes one probability of the members' logits has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from hpa_hier.data.labels.table import Targets
from hpa_hier.metrics.arrays import Bools, Floats, Order
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

Tensors = Mapping[str, NDArray[np.float32]]
Levels = tuple[tuple[int, ...], ...]  # columns of the nodes by depth, top first


@dataclass(frozen=True)
class MemberLogits:
    """Members' calibrated logits of the same samples."""

    values: Floats  # (E, B, N); anything finite where a member does not answer
    covers: Bools  # (E, N) which member answers for which node
    available: Bools  # (E, B) which member scored which sample

    @classmethod
    def fill(cls, values: Floats, covers: Bools, available: Bools) -> MemberLogits:
        """Put the mean of the other members' logits where a member did not score a sample; 0 where nobody answers.

        >>> one, other = [[1.0]], [[3.0]]
        >>> MemberLogits.fill(np.array([one, other]), np.ones((2, 1), bool), np.array([[False], [True]])).values.ravel()
        array([3., 3.])
        """
        if not available.all():
            answers = available[:, :, None] & covers[:, None, :]
            mean = np.where(answers, values, 0.0).sum(axis=0) / np.maximum(answers.sum(axis=0), 1)
            values = np.where(available[:, :, None], values, mean)
        return cls(values, covers, available)

    @property
    def answered(self) -> Bools:
        """Which nodes some member answers for, (N,); (B, N) where that differs by sample."""
        if self.available.all():
            return np.asarray(self.covers.any(axis=0))
        # booleans as numbers, since their product is fast
        return self.available.T.astype(np.float32) @ self.covers.astype(np.float32) > 0


@dataclass(frozen=True)
class Layout:
    """What rows and columns of a fitted aggregate are called."""

    members: tuple[str, ...]  # E names
    covers: Bools  # (E, N) which member answers for which node
    taxonomy: Taxonomy  # its nodes are the N columns

    def by_name(self, values: Floats) -> dict[str, dict[str, float]]:
        """Name the values (E, N) that are not 0."""
        rows = [{self.taxonomy.nodes[j]: float(row[j]) for j in np.flatnonzero(row)} for row in values]
        return dict(zip(self.members, rows, strict=True))

    def as_array(self, kept: Mapping[str, Mapping[str, float]]) -> Floats:
        """Return named values as an array (E, N), 0 elsewhere.

        Raises:
            KeyError: of a member or a node that there is not.
        """
        values = np.zeros((len(self.members), len(self.taxonomy.nodes)))
        for row, member in enumerate(self.members):
            for node, value in kept[member].items():
                values[row, self.taxonomy.column[node]] = float(value)
        return values


class Aggregate(ABC):
    """A fitted rule. A new one is a class like this in a file of its own, and a row in `rules.AGGREGATES`."""

    name: ClassVar[str]
    summary: ClassVar[str]  # what becomes of the members' answers, for `explain`
    uses_factors: ClassVar[bool] = True  # whether conditional members are multiplied by their missing factor first

    @classmethod
    @abstractmethod
    def fit(cls, logits: MemberLogits, targets: Targets, taxonomy: Taxonomy, settings: EnsembleSettings) -> Self:
        """Fit the rule.

        Args:
            logits: of the members.
            targets: (B, N); what is not known, or nobody answers for, is not `known`.
            taxonomy: the label tree; its nodes are the columns.
            settings: of the ensemble.
        """

    @abstractmethod
    def apply(self, logits: MemberLogits) -> Floats:
        """Return probabilities (B, N); a row is the same to the last bit in any batch."""

    @abstractmethod
    def to_json(self, layout: Layout) -> dict[str, Any]:
        """Return what the rule was fitted to, by names."""

    @classmethod
    @abstractmethod
    def from_json(cls, kept: Mapping[str, Any], tensors: Tensors, layout: Layout) -> Self:
        """Return the rule as it was fitted; it answers the same to the last bit."""

    @property
    def weights(self) -> Floats | None:
        """What each member counts for each node, (E, N); None where the rule has no such weights."""
        return None

    @property
    def tensors(self) -> Tensors:
        """Parameters of a network, by name; none for most rules."""
        return {}


def coverage(members: Sequence[Sequence[str]], column: Mapping[str, int]) -> Bools:
    """Return (E, N) which member answers for which node.

    `members` are the nodes of each, `column` is as taxonomy.column.

    >>> coverage([("a",), ("a", "b")], {"a": 0, "b": 1})
    array([[ True, False],
           [ True,  True]])
    """
    covers = np.zeros((len(members), len(column)), bool)
    for row, nodes in enumerate(members):
        covers[row, [column[node] for node in nodes]] = True
    return covers


def fill_from_children(probs: Floats, answered: Bools, order: Order) -> Floats:
    """Give groups that nobody answers for the largest probability among their children.

    Args:
        probs: (B, N) in [0, 1].
        answered: (N,), or (B, N) where it differs by sample; False for nodes without any member.
        order: (group, children) columns, deepest group first.

    Returns:
        (B, N); answered columns unchanged.

    >>> fill_from_children(np.array([[0.0, 0.7]]), np.array([False, True]), [(0, (1,))])
    array([[0.7, 0.7]])
    """
    filled = probs.copy()
    for group, children in order:
        own = answered[..., group]
        if not own.all():
            filled[:, group] = np.where(own, filled[:, group], filled[:, children].max(axis=1))
    return filled
