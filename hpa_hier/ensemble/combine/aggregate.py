"""Aggregation: one logit for every node, as a weighted sum over the members that answer for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hpa_hier.ensemble.scores.scores import Scores
from hpa_hier.metrics.arrays import Bools, Floats, Order


def coverage(members: Sequence[Scores], column: Mapping[str, int]) -> Bools:
    """Say which member answers for which node.

    Args:
        members: E members.
        column: node name to column, as taxonomy.column.

    Returns:
        (E, N).
    """
    covers = np.zeros((len(members), len(column)), bool)
    for row, scores in enumerate(members):
        covers[row, [column[node] for node in scores.nodes]] = True
    return covers


def mean_weights(covers: Bools) -> Floats:
    """Weigh all members that answer for a node alike.

    Args:
        covers: (E, N) from `coverage`.

    Returns:
        (E, N); columns sum to 1, or to 0 where nobody answers.

    >>> mean_weights(np.array([[True, True], [True, False]]))
    array([[0.5, 1. ],
           [0.5, 0. ]])
    """
    weights: Floats = covers / np.maximum(covers.sum(axis=0), 1)
    return weights


def concat_weights(covers: Bools) -> Floats:
    """Take each node from the most specialised member that answers for it: the one with the fewest nodes.

    Members equally specialised share the weight. The macro F1 of a concatenation is the class-count-weighted mean
    of its parts', so it gains only where a part beats the others on its own classes.

    Args:
        covers: (E, N) from `coverage`.

    Returns:
        (E, N); columns sum to 1, or to 0 where nobody answers.

    >>> concat_weights(np.array([[True, True], [True, False]]))
    array([[0., 1.],
           [1., 0.]])
    """
    breadth = np.where(covers, covers.sum(axis=1, keepdims=True), covers.shape[1] + 1)
    return mean_weights(covers & (breadth == breadth.min(axis=0)))


WEIGHTS: Mapping[str, Callable[[Bools], Floats]] = {"mean": mean_weights, "concat": concat_weights}


def combine(logits: Sequence[Floats], weights: Floats) -> Floats:
    """Add up the members' logits, each node with its own weights.

    Args:
        logits: E arrays (B, N), calibrated; anything finite where a member does not answer.
        weights: (E, N), 0 where a member does not answer.

    Returns:
        (B, N). A node with one member of weight 1 gets that member's logit to the last bit.
    """
    total = np.zeros_like(logits[0])
    for one, weight in zip(logits, weights, strict=True):
        total += one * weight
    return total


def fill_absent(logits: Floats, covers: Bools, available: Bools) -> Floats:
    """Let a member that does not know a sample say what the other members say on average.

    Args:
        logits: (E, B, N) calibrated.
        covers: (E, N) which member answers for which node.
        available: (E, B) which member knows which sample.

    Returns:
        (E, B, N); unchanged where a member knows the sample. 0 where nobody answers.
    """
    said = available[:, :, None] & covers[:, None, :]
    mean = np.where(said, logits, 0.0).sum(axis=0) / np.maximum(said.sum(axis=0), 1)
    return np.where(available[:, :, None], logits, mean)


def fill_from_children(probs: Floats, answered: Bools, order: Order) -> Floats:
    """Give groups that nobody answers for the largest probability among their children.

    Args:
        probs: (B, N) in [0, 1].
        answered: (N,), or (B, N) where it differs by sample; False for nodes without any member.
        order: (group, children) columns, deepest group first.

    Returns:
        (B, N); answered columns unchanged.
    """
    filled = probs.copy()
    for group, children in order:
        own = answered[..., group]
        if not own.all():
            filled[:, group] = np.where(own, filled[:, group], filled[:, children].max(axis=1))
    return filled
