"""The network down the levels: what a GRU over the members' scores adds to their mean, level by level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hpa_hier.ensemble.combine.stack import Lesson
from hpa_hier.metrics.arrays import Bools, Floats, Order

Weights = Mapping[str, NDArray[np.float32]]

_LARGEST = 8.0  # logits are cut off here before the network sees them


@dataclass(frozen=True)
class Rnn:
    """A trained network, as arrays.

    Attributes:
        levels: columns of the nodes by depth, top first.
        inputs: (E, N) which member's logits of which nodes it is shown.
        weights: its parameters by name.
    """

    levels: tuple[tuple[int, ...], ...]
    inputs: Bools
    weights: Weights = field(repr=False)

    def add(self, logits: Sequence[Floats], total: Floats) -> Floats:
        """Add to the members' sum what the network says beside it.

        Args:
            logits: E arrays (B, N), calibrated.
            total: (B, N) the weighted sum of these.

        Returns:
            (B, N); a row is the same to the last bit in any batch.
        """
        from hpa_hier.ensemble.combine.rnn_network import said  # imports torch, which other aggregates do without

        return total + said(self, features(logits, self.inputs), total)


def features(logits: Sequence[Floats], inputs: Bools) -> NDArray[np.float32]:
    """Lay out what the network is shown: all members' logits side by side, (B, F), cut off and scaled to [-1, 1]."""
    shown = [one[:, nodes] for one, nodes in zip(logits, inputs, strict=True)]
    return np.asarray(np.clip(np.concatenate(shown, axis=1) / _LARGEST, -1, 1), np.float32)


def columns_by_depth(size: int, order: Order) -> tuple[tuple[int, ...], ...]:
    """Return the columns by depth along the longest way down, top first.

    >>> columns_by_depth(4, [(1, (2, 3)), (0, (1, 2))])
    ((0,), (1,), (2, 3))
    """
    depth = [0] * size
    for group, children in reversed(order):  # every group after all its parents
        for child in children:
            depth[child] = max(depth[child], depth[group] + 1)
    return tuple(tuple(j for j in range(size) if depth[j] == d) for d in range(max(depth) + 1))


def fit_rnn(lesson: Lesson, total: Floats, order: Order) -> Rnn:
    """Train the network on held-out scores; the same scores give the same network.

    It starts as one that adds nothing, is trained briefly and with strong weight decay, and must win its place beside
    the mean out of fold like any aggregate: held-out samples are few.

    Args:
        lesson: the members' calibrated logits and the targets.
        total: (B, N) their refined mean, which the network adds to.
        order: (group, children) columns, deepest group first.
    """
    from hpa_hier.ensemble.combine.rnn_network import trained  # imports torch, which other aggregates do without

    levels = columns_by_depth(lesson.covers.shape[1], order)
    shown = features(list(lesson.logits), lesson.covers)
    counted = lesson.known & lesson.covers.any(axis=0)
    return trained(Rnn(levels, lesson.covers.copy(), {}), shown, total, (lesson.present, counted))
