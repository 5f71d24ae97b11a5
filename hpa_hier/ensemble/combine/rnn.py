"""RNN: what a GRU that goes down the levels of the tree over the members' scores adds to their mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.combine.aggregate import Aggregate, Layout, Levels, MemberLogits, Tensors
from hpa_hier.ensemble.combine.mean import Mean
from hpa_hier.metrics.arrays import Floats, Order
from hpa_hier.metrics.logistic import expit
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

LARGEST = 8.0  # logits are cut off here before the network sees them


@dataclass(frozen=True)
class Rnn(Aggregate):
    """A mean, and a network that adds to it.

    It starts as one that adds nothing, is trained briefly and with strong weight decay, and must win its place beside
    the mean out of fold like any aggregate: held-out samples are few.
    """

    name: ClassVar[str] = "rnn"
    summary: ClassVar[str] = f"{Mean.summary}, and what the network down the levels adds"

    mean: Mean
    levels: Levels
    parameters: Tensors = field(repr=False)

    @property
    def weights(self) -> Floats:
        """Those of the mean, (E, N)."""
        return self.mean.weights

    @property
    def tensors(self) -> Tensors:
        """The network's parameters."""
        return self.parameters

    @classmethod
    def fit(cls, logits: MemberLogits, targets: Targets, taxonomy: Taxonomy, settings: EnsembleSettings) -> Self:
        """Fit the mean, then train the network; the same scores give the same network."""
        from hpa_hier.ensemble.combine.rnn_network import train  # imports torch, which other aggregates do without

        mean = Mean.fit(logits, targets, taxonomy, settings)
        levels = columns_by_depth(len(taxonomy.nodes), taxonomy.bottom_up)
        goals = Targets(targets.present, targets.known & logits.covers.any(axis=0))
        return cls(mean, levels, train(levels, features(logits), mean.logits(logits), goals))

    def apply(self, logits: MemberLogits) -> Floats:
        """Return probabilities (B, N)."""
        from hpa_hier.ensemble.combine.rnn_network import correct  # imports torch, which other aggregates do without

        total = self.mean.logits(logits)
        return np.asarray(expit(total + correct(self.levels, self.parameters, features(logits), total)))

    def to_json(self, layout: Layout) -> dict[str, Any]:
        """Return the mean; the network's parameters are `tensors`."""
        return self.mean.to_json(layout)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any], tensors: Tensors, layout: Layout) -> Self:
        """Return mean and network as they were fitted."""
        levels = columns_by_depth(len(layout.taxonomy.nodes), layout.taxonomy.bottom_up)
        return cls(Mean.from_json(kept, {}, layout), levels, tensors)


def features(logits: MemberLogits) -> NDArray[np.float32]:
    """Lay out what the network is shown: all members' logits side by side, (B, F), cut off and scaled to [-1, 1]."""
    shown = [one[:, nodes] for one, nodes in zip(logits.values, logits.covers, strict=True)]
    return np.asarray(np.clip(np.concatenate(shown, axis=1) / LARGEST, -1, 1), np.float32)


def columns_by_depth(size: int, order: Order) -> Levels:
    """Return the columns by depth along the longest way down, top first.

    >>> columns_by_depth(4, [(1, (2, 3)), (0, (1, 2))])
    ((0,), (1,), (2, 3))
    """
    depth = [0] * size
    for group, children in reversed(order):  # every group after all its parents
        for child in children:
            depth[child] = max(depth[child], depth[group] + 1)
    return tuple(tuple(j for j in range(size) if depth[j] == d) for d in range(max(depth) + 1))
