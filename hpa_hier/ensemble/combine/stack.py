"""Stacking: weights and an offset for every node, fitted on calibrated logits, shrunk towards what nodes share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from hpa_hier.metrics.arrays import Bools, Floats

# Precisions of the normal priors, as a count of logistic observations. Positives tell a slope apart well, so that
# these matter for nodes with few positives and vanish for nodes with many. `ridge` begins with them, then finds those
# of largest evidence; `refined` keeps them.
_SLOPE = 30.0  # a node's slope around the slope that all nodes share
_OFFSET = 1.0  # a node's offset around the shared one: one logit either way is nothing unusual
_LEAN = 10.0  # a node's leaning towards a member around what all nodes lean
_PRECISIONS = (0.1, 300.0)  # between which evidence is looked for
_HALF_SURE = 2.0  # parameters that the precisions above are worth beside those that are fitted
_ROUNDS = 4  # of fitting the parameters and finding precisions in turn
_SHARED = 10.0  # what all nodes lean, around 0: the mean of the members
_WEAK = 1e-3  # keeps the shared slope and offset finite where positives and negatives are separable
_NEWTON_STEPS = 50
_HALVINGS = 30
_DONE = 1e-8
_CONVEX_STEPS = 150


@dataclass(frozen=True)
class Stacked:
    """Weights (E, N) and offsets (N,) of the members' calibrated logits."""

    weights: Floats
    offset: Floats


@dataclass(frozen=True)
class Lesson:
    """What a stack is fitted on.

    Attributes:
        logits: (E, B, N) calibrated; anything finite where a member does not answer.
        covers: (E, N) which member answers for which node.
        present: (B, N) targets.
        known: (B, N); where False the sample does not count for the node.
    """

    logits: Floats
    covers: Bools
    present: Bools
    known: Bools

    @property
    def positives(self) -> NDArray[np.int64]:
        """Samples known to carry each node, (N,)."""
        return np.asarray((self.present & self.known).sum(axis=0), np.int64)


def refined(lesson: Lesson, weights: Floats) -> Stacked:
    """Give a weighted sum a slope and an offset for every node, shrunk towards those that all nodes share.

    A sum of calibrated logits is less sure than its members where they differ, and wants a slope above 1.

    Args:
        lesson: what to fit on.
        weights: (E, N) from `aggregate.WEIGHTS` or `convex_weights`.

    Returns:
        The weights, times the slopes, and the offsets; nodes that nobody answers for keep offset 0.
    """
    total = np.einsum("ebn,en->bn", lesson.logits, weights)
    fitted = _fit(np.stack([total, np.ones_like(total)]), lesson, _Prior(np.array([_SLOPE, _OFFSET]), 0.0))
    answered = lesson.covers.any(axis=0)
    return Stacked(weights * np.maximum(fitted[0], 1e-3), np.where(answered, fitted[1], 0.0))


def ridge(lesson: Lesson) -> Stacked:
    """Fit a logistic stack whose nodes share what they can: the mean of the members, and a leaning towards some.

    The logit is slope * mean + sum over members of lean * (member - mean) + offset. First one set of parameters is
    fitted for all nodes together; then each node has its own, held near the shared ones by normal priors (the
    largest posterior). How near is found from the samples, for slopes, offsets and leanings apart: where nodes differ
    in whom they should trust, the evidence says so, and where members are alike, it keeps to their mean. A node
    without positives has the shared parameters and an offset somewhat lower. Leanings may be negative: where members
    err alike, what they share is best taken off.

    Args:
        lesson: what to fit on.

    Returns:
        Weights (E, N) and offsets (N,); 0 where nobody answers.

    Source: the evidence of a normal prior, MacKay, Bayesian interpolation, Neural Computation 1992.
    """
    shares = lesson.covers / np.maximum(lesson.covers.sum(axis=0), 1)
    mean = np.einsum("ebn,en->bn", lesson.logits, shares)
    apart = np.where(lesson.covers[:, None, :], lesson.logits - mean, 0.0)
    design = np.concatenate([mean[None], np.ones_like(mean)[None], apart])
    precision = np.array([_SLOPE, _OFFSET, *[_LEAN] * len(apart)])
    fitted = _fit(design, lesson, _Prior(precision, _SHARED, rounds=_ROUNDS))
    lean = np.where(lesson.covers, fitted[2:], 0.0)
    weights = shares * (fitted[0] - lean.sum(axis=0)) + lean
    return Stacked(weights, np.where(lesson.covers.any(axis=0), fitted[1], 0.0))


def convex_weights(lesson: Lesson, shrink: float) -> Floats:
    """Find weights above 0 that sum to 1: own ones for nodes with many positives, pooled ones for those with few.

    A node's weights are (1 - w) * pooled + w * own with w = n / (n + shrink), n its positives; both have the smallest
    log loss, found by exponentiated gradient steps from equal weights.

    Args:
        lesson: what to fit on.
        shrink: positives at which a node's own weights count half.

    Returns:
        (E, N); columns sum to 1, or to 0 where nobody answers.

    Source: exponentiated gradient, Kivinen & Warmuth, Information and Computation 1997.
    """
    positives = lesson.positives
    pooled = _descend_simplex(lesson, pooled=True)
    own = _descend_simplex(lesson, pooled=False)
    share = np.where(positives > 0, positives / np.maximum(positives + shrink, 1e-12), 0.0)
    return (1 - share) * pooled + share * own


def _descend_simplex(lesson: Lesson, *, pooled: bool) -> Floats:
    score = np.zeros(lesson.covers.shape)
    counts = np.maximum(lesson.positives, 1).astype(np.float64)
    weights = _softmax(score, lesson.covers)
    for _ in range(_CONVEX_STEPS):
        rest = (expit(np.einsum("ebn,en->bn", lesson.logits, weights)) - lesson.present) * lesson.known
        slope = np.where(lesson.covers, np.einsum("ebn,bn->en", lesson.logits, rest), 0.0)
        if pooled:  # one direction for all nodes; nodes with other members share what they have in common
            slope = np.repeat(slope.sum(axis=1, keepdims=True) / counts.sum(), len(counts), axis=1)
        else:
            slope = slope / counts
        score = score - slope
        largest = np.where(lesson.covers, score, -np.inf).max(axis=0, initial=-1e300)
        score = np.clip(score - largest, -30, 0)  # only differences count
        weights = _softmax(score, lesson.covers)
    return weights


def _softmax(score: Floats, covers: Bools) -> Floats:
    powers = np.where(covers, np.exp(score - score.max(axis=0)), 0.0)
    total = powers.sum(axis=0)
    weights: Floats = np.where(total > 0, powers / np.where(total > 0, total, 1.0), 0.0)
    return weights


@dataclass(frozen=True)
class _Prior:
    """How near parameters are held: (k,) precisions, those of shared leanings, and how often evidence is asked."""

    precision: Floats
    shared_precision: float
    rounds: int = 0


def _fit(design: Floats, lesson: Lesson, prior: _Prior) -> Floats:
    """Fit parameters (k, N) of logits that are sums over a design (k, B, N), each node's near the shared ones."""
    columns = np.flatnonzero(lesson.covers.any(axis=0))
    fitted = np.zeros((len(design), design.shape[2]))
    fitted[0] = 1.0
    if not len(columns):
        return fitted
    x = np.ascontiguousarray(design[:, :, columns].transpose(2, 1, 0))  # (n, B, k)
    goals, counted = lesson.present[:, columns].T.astype(np.float64), lesson.known[:, columns].T.astype(np.float64)
    flat = (1, -1, len(design))
    start = np.zeros((1, len(design)))
    start[0, 0] = 1.0
    weak = np.array([_WEAK, _WEAK, *[prior.shared_precision] * (len(design) - 2)])
    shared = _newton(x.reshape(flat), (goals.reshape(1, -1), counted.reshape(1, -1)), start, _Near(start, weak))
    near = _Near(np.repeat(shared, len(columns), axis=0), prior.precision)
    own = _newton(x, (goals, counted), near.around, near)
    used = np.concatenate([np.ones((2, len(columns)), bool), lesson.covers[:, columns][: len(design) - 2]]).T
    for _ in range(prior.rounds):
        near = _Near(near.around, _evidence(x, counted, own, near, (prior.precision, used)))
        own = _newton(x, (goals, counted), own, near)
    fitted[:, columns] = own.T
    return fitted


@dataclass(frozen=True)
class _Near:
    """A normal prior: means (n, k) and precisions (k,)."""

    around: Floats
    precision: Floats


def _evidence(x: Floats, counted: Floats, found: Floats, near: _Near, first: tuple[Floats, Bools]) -> Floats:
    """Find the precisions (k,) that make the samples likeliest: one for slopes, one for offsets, one for leanings.

    Args:
        x: (n, B, k).
        counted: (n, B) what counts.
        found: (n, k) parameters fitted with the precisions so far.
        near: the prior so far.
        first: the precisions that evidence began with, and (n, k) which parameters mean anything.
    """
    begun, used = first
    variance = np.diagonal(np.linalg.inv(_curvature(x, counted, found, near)), axis1=1, axis2=2)
    told = (1 - near.precision * variance) * used  # how much the samples say of each parameter, in [0, 1]
    apart = (found - near.around) ** 2 * used
    precision = near.precision.copy()
    for block in (slice(0, 1), slice(1, 2), slice(2, len(precision))):
        if precision[block].size:
            parameters, spread = told[:, block].sum() + _HALF_SURE, apart[:, block].sum() + _HALF_SURE / begun[block][0]
            precision[block] = np.clip(parameters / spread, *_PRECISIONS)
    return precision


def _curvature(x: Floats, counted: Floats, found: Floats, near: _Near) -> Floats:
    """Second derivative of each negative log posterior, (n, k, k)."""
    probs = expit((x @ found[:, :, None])[:, :, 0])
    curve = (probs * (1 - probs) * counted)[:, :, None] * x
    hessian: Floats = x.transpose(0, 2, 1) @ curve + np.diag(near.precision)
    return hessian


def _newton(x: Floats, truth: tuple[Floats, Floats], start: Floats, near: _Near) -> Floats:
    """Maximise n logistic posteriors side by side.

    Args:
        x: (n, B, k).
        truth: goals and what counts, (n, B) each.
        start: (n, k).
        near: the priors.

    Returns:
        (n, k).
    """
    goals, counted = truth
    found = start.copy()
    loss = _loss(x, truth, found, near)
    for _ in range(_NEWTON_STEPS):
        probs = expit((x @ found[:, :, None])[:, :, 0])
        slope = (((goals - probs) * counted)[:, None, :] @ x)[:, 0] - near.precision * (found - near.around)
        step = np.linalg.solve(_curvature(x, counted, found, near), slope[:, :, None])[:, :, 0]
        for _ in range(_HALVINGS):  # logits far out have next to no curvature, and whole steps overshoot
            after = _loss(x, truth, found + step, near)
            worse = after > loss * (1 + 1e-12)
            if not worse.any():
                break
            step = np.where(worse[:, None], step / 2, step)
        else:
            step = np.where(worse[:, None], 0.0, step)
            after = np.where(worse, loss, after)
        found, loss = found + step, after
        if np.abs(step).max() < _DONE:
            break
    return found


def _loss(x: Floats, truth: tuple[Floats, Floats], found: Floats, near: _Near) -> Floats:
    """Negative logarithm of each posterior, (n,), up to a constant."""
    goals, counted = truth
    logits = (x @ found[:, :, None])[:, :, 0]
    fit = ((np.logaddexp(0.0, logits) - goals * logits) * counted).sum(axis=1)
    total: Floats = fit + (near.precision * (found - near.around) ** 2).sum(axis=1) / 2
    return total
