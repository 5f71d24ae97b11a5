"""Blend: the weighted mean of the members' probabilities, one weight a member for all nodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from hpa_hier.ensemble.arrays import Bools, Floats
from hpa_hier.ensemble.stack import Lesson

BLEND = "blend"  # the aggregate's name
_STEPS = 1000
_DONE = 1e-6  # change of a weight at which the steps end
_LEAST = 1e-6  # probability that is taken for none


def blend(logits: Sequence[Floats], weights: Floats) -> Floats:
    """Return the weighted mean of probabilities.

    A mean of probabilities keeps each member's doubt where a mean of logits sharpens it, so that probabilities of
    different nodes stay comparable; and nothing is fitted for a single node, which rare ones could not bear.

    Args:
        logits: E arrays (B, N), calibrated; anything finite where a member does not answer.
        weights: (E, N), 0 where a member does not answer; columns sum to 1, or to 0 where nobody answers.

    Returns:
        (B, N) in [0, 1]; 0 where nobody answers.

    >>> blend([np.array([[0.0]]), np.array([[50.0]])], np.array([[0.5], [0.5]]))
    array([[0.75]])
    """
    total = np.zeros_like(logits[0])
    for one, weight in zip(logits, weights, strict=True):
        total += expit(one) * weight
    return total


def blend_weights(lesson: Lesson) -> Floats:
    """Find the weights of smallest log loss over all nodes together; each node's are those of its members, scaled to 1.

    The log loss of a mixture has one minimum, and expectation maximisation walks down to it: a member's weight is its
    mean share in what the mixture gave to the truth.

    Args:
        lesson: what to fit on.

    Returns:
        (E, N); columns sum to 1, or to 0 where nobody answers.

    Source: expectation maximisation for mixing proportions, Dempster, Laird & Rubin, 1977.
    """
    given = []
    for logits, covers in zip(lesson.logits, lesson.covers, strict=True):
        # The probability that a member gave to what was the case; nothing where it does not answer.
        true = expit(np.where(lesson.present, logits, -logits)).clip(_LEAST)
        given.append(np.where(covers, true, 0.0).astype(np.float32)[lesson.known])
    shares = np.stack(given)  # (E, entries)
    shares = shares[:, shares.any(axis=0)]
    if not shares.shape[1]:
        return _per_node(np.full(len(shares), 1 / len(shares)), lesson.covers)
    # Entries where all members are all but right tell nothing apart, and are most of them: take them as one.
    clear = shares.min(axis=0) > 1 - 1e-3
    weight = np.full(len(shares), 1 / len(shares))
    for _ in range(_STEPS):
        mixed = weight.astype(np.float32) @ shares[:, ~clear]
        found = weight * ((shares[:, ~clear] / mixed).sum(axis=1, dtype=np.float64) + int(clear.sum()))
        found /= found.sum()
        change, weight = np.abs(found - weight).max(), found
        if change < _DONE:
            break
    return _per_node(weight, lesson.covers)


def _per_node(weight: Floats, covers: Bools) -> Floats:
    """Spread members' weights (E,) over the nodes that they answer for, (E, N)."""
    shares = np.where(covers, weight[:, None], 0.0)
    weights: Floats = shares / np.maximum(shares.sum(axis=0), 1e-12)
    return weights
