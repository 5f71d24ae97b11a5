"""Logistic stack: weights and an offset for every node, held near those that all nodes share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.combine.aggregate import MemberLogits
from hpa_hier.ensemble.combine.weighted_sum import WeightedSum, mean_weights
from hpa_hier.ensemble.logistic import LogisticProblem, NormalPrior, curvature, solve
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

# Precisions of the normal priors, as a count of logistic observations. Positives tell a slope apart well, so that
# these matter for nodes with few positives and vanish for nodes with many. The stack begins with them, then finds
# those of largest evidence; `refine` keeps them.
_SLOPE = 30.0  # a node's slope around the slope that all nodes share
_OFFSET = 1.0  # a node's offset around the shared one: one logit either way is nothing unusual
_DEVIATION = 10.0  # a node's deviation for a member around the deviation that all nodes share
_PRECISIONS = (0.1, 3000.0)  # between which evidence is looked for
_HALF_SURE = 2.0  # parameters that the precisions above are worth beside those that are fitted
_ROUNDS = 4  # of fitting the parameters and finding precisions in turn
_SHARED = 10.0  # the shared deviations, around 0: the mean of the members
_WEAK = 1e-3  # keeps the shared slope and offset finite where positives and negatives are separable
_SMALLEST_SLOPE = 1e-3


class LogisticStack(WeightedSum):
    """The logit slope * mean + sum over members of deviation * (member - mean) + offset.

    First one set of parameters is fitted for all nodes together; then each node has its own, held near the shared
    ones by normal priors (the largest posterior). How near, and near to what, is found from the samples, for slopes,
    offsets and deviations apart: where nodes differ in whom they should trust, the evidence says so, and where members
    are alike, it keeps to their mean. A node without positives has the shared parameters and an offset somewhat lower.
    Deviations may be negative: where members err alike, what they share is best taken off.

    Source: the evidence of a normal prior, MacKay, Bayesian interpolation, Neural Computation 1992.
    """

    name: ClassVar[str] = "logistic_stack"

    @classmethod
    def fit(cls, logits: MemberLogits, targets: Targets, taxonomy: Taxonomy, settings: EnsembleSettings) -> Self:
        """Fit weights and offsets; they are 0 where nobody answers."""
        covers = logits.covers
        shares = mean_weights(covers)
        mean = np.einsum("ebn,en->bn", logits.values, shares)
        apart = (np.where(own, values - mean, 0.0) for own, values in zip(covers, logits.values, strict=True))
        fitted = _fit((mean, np.ones_like(mean), *apart), covers, targets, _ROUNDS)
        deviation = np.where(covers, fitted[2:], 0.0)
        weights = shares * (fitted[0] - deviation.sum(axis=0)) + deviation
        return cls(weights, np.where(covers.any(axis=0), fitted[1], 0.0))


def refine(logits: MemberLogits, targets: Targets, weights: Floats) -> tuple[Floats, Floats]:
    """Give a weighted sum a slope and an offset for every node, held near those that all nodes share.

    A sum of calibrated logits is less sure than its members where they differ, and wants a slope above 1.

    Args:
        logits: of the members.
        targets: (B, N).
        weights: (E, N); each node's sum to 1.

    Returns:
        The weights times the slopes, (E, N), and the offsets, (N,); nodes that nobody answers for keep offset 0.
    """
    total = np.einsum("ebn,en->bn", logits.values, weights)
    slope, offset = _fit((total, np.ones_like(total)), logits.covers, targets)
    return weights * np.maximum(slope, _SMALLEST_SLOPE), np.where(logits.covers.any(axis=0), offset, 0.0)


def _fit(design: Sequence[Floats], covers: Bools, targets: Targets, rounds: int = 0) -> Floats:
    """Fit parameters (k, N) of logits that are sums over a design of k (B, N), each node's near the shared ones.

    The design is of slope, offset and deviations; `rounds` is how often their precisions are found from samples.
    """
    columns, deviations = np.flatnonzero(covers.any(axis=0)), len(design) - 2
    fitted = np.zeros((len(design), covers.shape[1]))
    fitted[0] = 1.0
    if not len(columns):
        return fitted
    x = np.stack([one[:, columns].T for one in design], axis=2)  # (n, B, k)
    goals = targets.present[:, columns].T.astype(np.float64)
    counted = targets.known[:, columns].T.astype(np.float64)
    start = np.zeros((1, len(design)))
    start[0, 0] = 1.0
    weak = np.array([_WEAK, _WEAK, *[_SHARED] * deviations])
    first = np.array([_SLOPE, _OFFSET, *[_DEVIATION] * deviations])
    pooled = LogisticProblem(x.reshape(1, -1, len(design)), goals.reshape(1, -1), counted.reshape(1, -1))
    shared = solve(pooled, start, NormalPrior(start, weak))
    problem, near = LogisticProblem(x, goals, counted), NormalPrior(np.repeat(shared, len(columns), 0), first)
    own = solve(problem, near.means, near)
    used = np.concatenate([np.ones((2, len(columns)), bool), covers[:, columns][:deviations]]).T
    for _ in range(rounds):
        precision = _find_precisions(problem, own, near, first, used)
        near = NormalPrior(_find_means(own, precision, NormalPrior(start, weak), used), precision)
        own = solve(problem, own, near)
    fitted[:, columns] = own.T
    return fitted


def _find_means(found: Floats, precision: Floats, prior: NormalPrior, used: Bools) -> Floats:
    """Find the parameters (n, k) that all nodes share: the mean of the nodes' own ones, near those of the prior.

    The first shared parameters are fitted as if all nodes were one, so that they also follow what differs between
    nodes, such as how frequent they are; these follow only what differs between samples.
    """
    counts = used.sum(axis=0)
    total = (found * used).sum(axis=0) * precision + prior.precision * prior.means[0]
    return np.repeat((total / (counts * precision + prior.precision))[None], len(found), 0)


def _find_precisions(problem: LogisticProblem, found: Floats, near: NormalPrior, first: Floats, used: Bools) -> Floats:
    """Find the precisions (k,) that make the samples likeliest: one for slopes, one for offsets, one for deviations.

    `first` (k,) are those that the search began with, `used` (n, k) tells which of the parameters mean anything.
    """
    variance = np.diagonal(np.linalg.inv(curvature(problem, found, near)), axis1=1, axis2=2)
    known = (1 - near.precision * variance) * used  # how much the samples say of each parameter, in [0, 1]
    apart = (found - near.means) ** 2 * used
    precision = near.precision.copy()
    for block in (slice(0, 1), slice(1, 2), slice(2, len(precision))):
        if precision[block].size:
            spread = apart[:, block].sum() + _HALF_SURE / first[block][0]
            precision[block] = np.clip((known[:, block].sum() + _HALF_SURE) / spread, *_PRECISIONS)
    return precision
