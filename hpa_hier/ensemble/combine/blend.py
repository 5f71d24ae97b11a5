"""Blends: the weighted mean of the members' probabilities, one weight a member for all nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.combine.aggregate import MemberLogits
from hpa_hier.ensemble.combine.reconcile import lift
from hpa_hier.ensemble.combine.weighted_sum import Weighted, combine, mean_weights
from hpa_hier.metrics.arrays import Bools, Floats, Order
from hpa_hier.metrics.logistic import expit
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

_STEPS = 1000
_DONE = 1e-6  # change of a weight at which the steps end
_TINY = 1e-30  # in the place of 0 where all weights that an entry has are gone
_SMALLEST = 1e-6  # probability that is taken for none
_PICKS = 10  # of members; weights are multiples of the share of one
_BITS = 11  # of a float32 that are left out in ranking: probabilities within 1/4096 of themselves are equal


class Blend(Weighted):
    """Weights (E, N) of the members' probabilities."""

    name: ClassVar[str] = "blend"
    summary: ClassVar[str] = "the members' calibrated probabilities, weighted and added"

    @classmethod
    def fit(cls, logits: MemberLogits, targets: Targets, taxonomy: Taxonomy, settings: EnsembleSettings) -> Self:
        """Fit one weight a member."""
        return cls(blend_weights(logits, targets))

    def apply(self, logits: MemberLogits) -> Floats:
        """Return probabilities (B, N)."""
        return blend(logits.values, self.shares)


class Selection(Blend):
    """A blend of those members that rank best together; the others have the weight 0."""

    name: ClassVar[str] = "selection"
    summary: ClassVar[str] = "the calibrated probabilities of the members that rank best together, weighted and added"

    @classmethod
    def fit(cls, logits: MemberLogits, targets: Targets, taxonomy: Taxonomy, settings: EnsembleSettings) -> Self:
        """Select members."""
        return cls(selection_weights(logits, targets, taxonomy.bottom_up))


def blend(logits: Iterable[Floats], weights: Floats) -> Floats:
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
    return combine((expit(one) for one in logits), weights)


def blend_weights(logits: MemberLogits, targets: Targets) -> Floats:
    """Find the weights of smallest log loss over all nodes together; each node's are those of its members, scaled to 1.

    The log loss of a mixture has one minimum, and expectation maximisation walks down to it: a member's weight is its
    mean share in what the mixture gave to the truth. Where a member does not answer, the others' weights are scaled to
    1, and it counts for as often as it would have been drawn before one that answers.

    Returns:
        (E, N); columns sum to 1, or to 0 where nobody answers.

    Source: expectation maximisation for mixing proportions, Dempster, Laird & Rubin, 1977.

    >>> right, wrong = np.array([[3.0], [-3.0]]), np.array([[-3.0], [3.0]])
    >>> logits = MemberLogits(np.stack([right, wrong]), np.ones((2, 1), bool), np.ones((2, 2), bool))
    >>> targets = Targets(np.array([[True], [False]]), np.ones((2, 1), bool))
    >>> blend_weights(logits, targets)[:, 0].round(3)
    array([1., 0.])
    """
    shares, answers = _entries(logits, targets)
    # Entries that one member alone answers for, or where all are all but right, tell nothing apart, and are most of
    # them: they count as one.
    informative = (answers.sum(axis=0) > 1) & (np.where(answers, shares, 1).min(axis=0) <= 1 - 1e-3)
    uninformative = int((answers.any(axis=0) & ~informative).sum())
    shares, answers = shares[:, informative], answers[:, informative].astype(np.float32)
    weight = np.full(len(shares), 1 / len(shares))
    for _ in range(_STEPS if informative.any() else 0):
        small = weight.astype(np.float32)
        drawn = (shares / np.maximum(small @ shares, _TINY)).sum(axis=1, dtype=np.float64)
        before = ((1 - answers) / np.maximum(small @ answers, _TINY)).sum(axis=1, dtype=np.float64)
        found = weight * (drawn + before + uninformative)
        found /= found.sum()
        change, weight = np.abs(found - weight).max(), found
        if change < _DONE:
            break
    spread = np.where(logits.covers, weight[:, None], 0.0)
    return np.asarray(spread / np.maximum(spread.sum(axis=0), 1e-12))


def selection_weights(logits: MemberLogits, targets: Targets, order: Order) -> Floats:
    """Pick members one after the other, some more than once, so that the area under precision and recall is largest.

    The area is that of all known entries together (micro average precision), of the mean of the picked members'
    probabilities, lifted. A weight is a member's share of the picks, at the number of picks with the largest area.

    Args:
        logits: calibrated.
        targets: (B, N); without a positive all members count alike.
        order: (group, children) columns, deepest group first.

    Returns:
        (E, N); columns sum to 1, or to 0 where nobody answers. A node that only members answer for which were not
        picked has their mean.

    Source: ensemble selection with replacement, Caruana et al., ICML 2004.

    >>> right, noise = np.array([[3.0], [-3.0], [2.0]]), np.array([[-1.0], [1.0], [1.0]])
    >>> logits = MemberLogits(np.stack([right, noise]), np.ones((2, 1), bool), np.ones((2, 3), bool))
    >>> targets = Targets(np.array([[True], [False], [True]]), np.ones((3, 1), bool))
    >>> selection_weights(logits, targets, ())[:, 0]
    array([1., 0.])
    """
    covers, counted = logits.covers, targets.known & logits.answered
    if len(covers) == 1 or not (targets.present & counted).any():
        return mean_weights(covers)
    probs = [
        np.where(answers, expit(one), 0).astype(np.float32) for one, answers in zip(logits.values, covers, strict=True)
    ]
    present = targets.present[counted]
    total, answering = np.zeros_like(probs[0]), np.zeros(covers.shape[1], np.float32)
    picks, best, largest = np.zeros(len(covers)), np.zeros(len(covers)), -1.0
    for _ in range(_PICKS):
        areas = []
        for one, answers in zip(probs, covers, strict=True):
            mean = (total + one) / np.maximum(answering + answers, 1)
            areas.append(_micro_average_precision(lift(mean, order)[counted], present))
        found = int(np.argmax(areas))
        picks[found] += 1
        total, answering = total + probs[found], answering + covers[found]
        if areas[found] > largest:
            best, largest = picks.copy(), areas[found]
    picked = covers * best[:, None]
    spread = np.where(picked.any(axis=0), picked, covers)
    return np.asarray(spread / np.maximum(spread.sum(axis=0), 1))


def _micro_average_precision(probs: Floats, present: Bools) -> float:
    """Return the average precision of entries, by counting them and not by sorting, since there may be millions."""
    ranks = (
        np.ascontiguousarray(probs, np.float32).view(np.int32) >> _BITS
    )  # of numbers from 0, bits are in their order
    top = int(ranks.max()) + 1
    hits = np.cumsum(np.bincount(ranks[present], minlength=top)[::-1])
    taken = np.cumsum(np.bincount(ranks, minlength=top)[::-1])
    return float((np.diff(hits, prepend=0) * (hits / np.maximum(taken, 1))).sum() / hits[-1])


def _entries(logits: MemberLogits, targets: Targets) -> tuple[NDArray[np.float32], Bools]:
    """Return, (E, entries), the probability that members gave to what was the case, and which of them answer."""
    shares, answering = [], []
    for values, covers in zip(logits.values, logits.covers, strict=True):
        true = expit(np.where(targets.present, values, -values)).clip(_SMALLEST)
        shares.append(np.where(covers, true, 0.0).astype(np.float32)[targets.known])
        answering.append(np.broadcast_to(covers, true.shape)[targets.known])
    return np.stack(shares), np.stack(answering)
