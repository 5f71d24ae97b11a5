"""Blend: the weighted mean of the members' probabilities, one weight a member for all nodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from hpa_hier.ensemble.combine.stack import Lesson
from hpa_hier.metrics.arrays import Bools, Floats

BLEND = "blend"  # the aggregate's name
_STEPS = 1000
_DONE = 1e-6  # change of a weight at which the steps end
_TINY = 1e-30  # in the place of 0 where all weights that an entry has are gone
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
    mean share in what the mixture gave to the truth. Where a member does not answer, the others' weights are scaled to
    1, and it counts for as often as it would have been drawn before one that answers.

    Args:
        lesson: what to fit on.

    Returns:
        (E, N); columns sum to 1, or to 0 where nobody answers.

    Source: expectation maximisation for mixing proportions, Dempster, Laird & Rubin, 1977.
    """
    given, answering = [], []
    for logits, covers in zip(lesson.logits, lesson.covers, strict=True):
        # The probability that a member gave to what was the case; nothing where it does not answer.
        true = expit(np.where(lesson.present, logits, -logits)).clip(_LEAST)
        given.append(np.where(covers, true, 0.0).astype(np.float32)[lesson.known])
        answering.append(np.broadcast_to(covers, true.shape)[lesson.known])
    shares, answers = np.stack(given), np.stack(answering)  # (E, entries)
    # Entries that one member alone answers for, or where all are all but right, tell nothing apart, and are most of
    # them: they count as one.
    telling = (answers.sum(axis=0) > 1) & (np.where(answers, shares, 1).min(axis=0) <= 1 - 1e-3)
    alike = int((answers.any(axis=0) & ~telling).sum())
    shares, answers = shares[:, telling], answers[:, telling].astype(np.float32)
    weight = np.full(len(shares), 1 / len(shares))
    for _ in range(_STEPS if telling.any() else 0):
        small = weight.astype(np.float32)
        drawn = (shares / np.maximum(small @ shares, _TINY)).sum(axis=1, dtype=np.float64)
        before = ((1 - answers) / np.maximum(small @ answers, _TINY)).sum(axis=1, dtype=np.float64)
        found = weight * (drawn + before + alike)
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
