"""Metrics of one system's answers, each for all samples or for many weightings of them at once.

Every function takes `known` (what the annotation tells; the rest is left out) and, where it sums over samples,
`weights`: (R, B), one row a resample. Without weights the leading R axis is absent. A metric that the data do not
define, such as the F1 of a class without positives, is NaN; means over classes leave NaN out and never count it as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]

CALIBRATION_BINS = 15  # equal widths over [0, 1]
NEAREST_TO_SURE = 1e-5  # log loss takes no probability to be nearer to 0 or 1: one that is sure and wrong costs 11.5


@dataclass(frozen=True)
class Counts:
    """True and false positives and negatives, each (N,) or (R, N)."""

    tp: Floats
    fp: Floats
    fn: Floats
    tn: Floats

    def columns(self, chosen: Sequence[int] | npt.NDArray[np.intp]) -> Counts:
        """Keep the chosen node columns, in the order given."""
        index = np.asarray(chosen, dtype=np.intp)
        return Counts(*(values[..., index] for values in (self.tp, self.fp, self.fn, self.tn)))

    def pooled(self) -> Counts:
        """Add up all nodes; of closed decisions, precision and recall of the sums are the hierarchical ones."""
        return Counts(*(values.sum(axis=-1) for values in (self.tp, self.fp, self.fn, self.tn)))


def weighted_sum(values: npt.NDArray[np.generic], weights: Floats | None) -> Floats:
    """Sum (B, ...) values over samples: (...) without weights, (R, ...) with weights (R, B).

    >>> weighted_sum(np.array([1.0, 2.0]), np.array([[2.0, 0.0]]))
    array([2.])
    """
    numbers = values.astype(np.float64)
    if weights is None:
        return np.asarray(numbers.sum(axis=0))
    return np.asarray(weights.astype(np.float64) @ numbers)


def weighted_mean(values: npt.NDArray[np.generic], weights: Floats | None) -> Floats:
    """Average (B,) values over samples, NaN left out: a 0-d array without weights, (R,) with weights (R, B).

    >>> weighted_mean(np.array([1.0, 2.0, np.nan]), np.array([[3.0, 1.0, 1.0]]))
    array([1.25])
    """
    numbers = values.astype(np.float64)
    defined = ~np.isnan(numbers)
    return ratio(weighted_sum(np.where(defined, numbers, 0), weights), weighted_sum(defined, weights))


def ratio(part: Floats, whole: Floats) -> Floats:
    """Divide, with NaN where the whole is 0.

    >>> ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0]))
    array([0.5, nan])
    """
    return np.where(whole == 0, np.nan, part / np.where(whole == 0, 1, whole))


def count(present: Bools, targets: Bools, known: Bools, weights: Floats | None = None) -> Counts:
    """Count decisions against the annotation, per node.

    Args:
        present: (B, N) decisions.
        targets: (B, N) annotation, closed.
        known: (B, N); False where the annotation does not tell.
        weights: (R, B) how often each resample holds each sample.

    Returns:
        Counts of (N,), or of (R, N) with weights.

    >>> yes, no = np.array([[True]]), np.array([[False]])
    >>> float(count(yes, no, yes).fp[0])
    1.0
    """
    return Counts(
        tp=weighted_sum(present & targets & known, weights),
        fp=weighted_sum(present & ~targets & known, weights),
        fn=weighted_sum(~present & targets & known, weights),
        tn=weighted_sum(~present & ~targets & known, weights),
    )


def precision(counts: Counts) -> Floats:
    """Return the share of decisions that are right, per node; NaN where nothing was decided present.

    >>> precision(Counts(*(np.array([x]) for x in (3.0, 1.0, 2.0, 4.0))))
    array([0.75])
    """
    return ratio(counts.tp, counts.tp + counts.fp)


def recall(counts: Counts) -> Floats:
    """Return the share of positives that were found, per node; NaN where there are none.

    >>> recall(Counts(*(np.array([x]) for x in (3.0, 1.0, 2.0, 4.0))))
    array([0.6])
    """
    return ratio(counts.tp, counts.tp + counts.fn)


def f1(counts: Counts) -> Floats:
    """Return the F1 of each node; NaN where the node has no positives.

    >>> f1(Counts(*(np.array([x]) for x in (3.0, 1.0, 2.0, 4.0)))).round(3)
    array([0.667])
    """
    score = ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn)
    return np.where(counts.tp + counts.fn == 0, np.nan, score)


def macro_f1(counts: Counts) -> Floats:
    """Average F1 over the nodes that have positives; the others are left out.

    >>> float(macro_f1(Counts(*(np.array(x) for x in ([1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0])))).round(3))
    0.667
    """
    return mean_of_defined(f1(counts))


def mean_of_defined(values: Floats) -> Floats:
    """Average over the last axis, NaN left out; NaN where nothing is left.

    >>> float(mean_of_defined(np.array([0.5, np.nan, 1.0])))
    0.75
    """
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(axis=-1), defined.sum(axis=-1))


def micro_f1(counts: Counts) -> Floats:
    """Return F1 over all nodes together.

    On decisions and targets that are closed under ancestors this is hierarchical F1, the harmonic mean of
    Σ|predicted ∩ true| / Σ|predicted| and Σ|predicted ∩ true| / Σ|true|.

    Source: hierarchical precision and recall, Kiritchenko, Matwin & Famili 2005.

    >>> float(micro_f1(Counts(*(np.array(x) for x in ([1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0])))))
    0.5
    """
    one = counts.pooled()
    return ratio(2 * one.tp, 2 * one.tp + one.fp + one.fn)


def sample_f1(present: Bools, targets: Bools, known: Bools) -> Floats:
    """Return each sample's F1 over nodes, (B,); a sample with nothing true and nothing predicted is right: 1.

    >>> sample_f1(np.array([[True, True]]), np.array([[True, False]]), np.array([[True, True]])).round(3)
    array([0.667])
    """
    tp = (present & targets & known).sum(axis=1)
    wrong = ((present ^ targets) & known).sum(axis=1)
    score = ratio(2.0 * tp, 2.0 * tp + wrong)
    return np.where(np.isnan(score), 1.0, score)


def exact_match(present: Bools, targets: Bools, known: Bools) -> Bools:
    """Tell, (B,), which samples have every known node right; the mean is subset accuracy.

    >>> exact_match(np.array([[True, True]]), np.array([[True, False]]), np.array([[True, True]]))
    array([False])
    """
    return np.asarray(((present == targets) | ~known).all(axis=1))


def average_precision(probs: Floats, targets: Bools, known: Bools, weights: Floats | None = None) -> Floats:
    """Return the area under precision over recall, as a step function, per node.

    Args:
        probs: (B, N) scores; only their order within a column matters; ties are one step.
        targets: (B, N).
        known: (B, N).
        weights: (R, B).

    Returns:
        (N,), or (R, N) with weights; NaN for a node without positives.

    >>> targets = np.array([[True], [False], [True]])
    >>> average_precision(np.array([[0.9], [0.8], [0.7]]), targets, np.ones_like(targets)).round(3)
    array([0.833])
    """
    many = np.ones((probs.shape[0], 1), np.float32) if weights is None else np.ascontiguousarray(weights.T)
    found = np.stack(
        [_average_precision(probs[:, n], targets[:, n], known[:, n], many) for n in range(probs.shape[1])], axis=-1
    )
    return np.asarray(found[0] if weights is None else found, dtype=np.float64)


def _average_precision(probs: Floats, targets: Bools, known: Bools, weights: Floats) -> Floats:
    """One node: probs (B,), weights (B, R) so that running sums go along contiguous rows; returns (R,)."""
    order = np.argsort(-probs, kind="stable")
    order = order[known[order]]
    if not targets[order].any():
        return np.full(weights.shape[1], np.nan)
    ranked = probs[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    sorted_weights = weights[order]
    taken = np.cumsum(sorted_weights, axis=0)[ends]
    sorted_weights[~targets[order]] = 0
    hits = np.cumsum(sorted_weights, axis=0)[ends]
    gained = np.diff(hits, axis=0, prepend=np.zeros((1, hits.shape[1]), hits.dtype))
    area = (gained * (hits / np.maximum(taken, 1))).sum(axis=0, dtype=np.float64)
    return ratio(area, hits[-1])


@dataclass(frozen=True)
class CalibrationSums:
    """Per sample and bin, (B, K): entries, their summed probability, their summed truth."""

    entries: Floats
    probs: Floats
    truth: Floats


def calibration_sums(probs: Floats, targets: Bools, known: Bools, bins: int = CALIBRATION_BINS) -> CalibrationSums:
    """Sort every known (sample, node) entry into bins of equal width over [0, 1]; 1.0 falls into the last.

    >>> calibration_sums(np.array([[0.2, 1.0]]), np.array([[False, True]]), np.array([[True, True]]), bins=2).entries
    array([[1., 1.]])
    """
    B = len(probs)
    which = np.minimum((probs * bins).astype(np.intp), bins - 1)
    cell = (np.arange(B)[:, None] * bins + which)[known]

    def sums(values: npt.NDArray[np.generic]) -> Floats:
        counted = np.bincount(cell, values[known].astype(np.float64), minlength=B * bins)
        return np.asarray(counted.reshape(B, bins), dtype=np.float64)

    return CalibrationSums(sums(np.ones_like(known)), sums(probs), sums(targets))


def calibration_error(sums: CalibrationSums, weights: Floats | None = None) -> Floats:
    """Return the expected calibration error: |mean probability − share true|, averaged over entries.

    Source: ECE with bins of equal width, Naeini, Cooper & Hauskrecht, AAAI 2015.

    >>> probs, yes = np.array([[0.75], [0.75]]), np.array([[True], [False]])
    >>> float(calibration_error(calibration_sums(probs, yes, np.ones_like(yes))))
    0.25
    """
    gap = np.abs(weighted_sum(sums.probs, weights) - weighted_sum(sums.truth, weights)).sum(axis=-1)
    return ratio(gap, weighted_sum(sums.entries, weights).sum(axis=-1))


def squared_errors(probs: Floats, targets: Bools, known: Bools) -> Floats:
    """Return each sample's squared errors of probabilities, summed over its known entries, (B,).

    >>> squared_errors(np.array([[0.5, 1.0]]), np.array([[True, True]]), np.array([[True, True]]))
    array([0.25])
    """
    return np.asarray(np.where(known, (probs - targets) ** 2, 0).sum(axis=1))


def brier(probs: Floats, targets: Bools, known: Bools, weights: Floats | None = None) -> Floats:
    """Return the mean squared error of the probabilities over all known entries.

    >>> float(brier(np.array([[0.5, 1.0]]), np.array([[True, True]]), np.array([[True, True]])))
    0.125
    """
    errors = squared_errors(probs, targets, known)
    return ratio(weighted_sum(errors, weights), weighted_sum(known.sum(axis=1), weights))


def log_loss(probs: Floats, targets: Bools, known: Bools, weights: Floats | None = None) -> Floats:
    """Return the mean of −log(probability given to what is true) over all known entries; proper, and lower is better.

    Args:
        probs: (B, N) in [0, 1]; taken to be at least NEAREST_TO_SURE away from both ends.
        targets: (B, N).
        known: (B, N).
        weights: (R, B).

    Returns:
        A 0-d array in nats, or (R,) with weights.

    >>> float(log_loss(np.array([[0.5, 1.0]]), np.array([[True, True]]), np.array([[True, True]])).round(3))
    0.347
    """
    loss, entries = sample_losses(probs, targets, known)
    return ratio(weighted_sum(loss, weights), weighted_sum(entries, weights))


def sample_losses(probs: Floats, targets: Bools, known: Bools) -> tuple[Floats, Floats]:
    """Return each sample's log loss summed over its known entries, and how many these are, (B,) each.

    >>> loss, entries = sample_losses(np.array([[0.5, 1.0]]), np.array([[True, True]]), np.array([[True, False]]))
    >>> loss.round(3), entries
    (array([0.693]), array([1.]))
    """
    near = np.clip(probs.astype(np.float64), NEAREST_TO_SURE, 1 - NEAREST_TO_SURE)
    loss = np.where(known, -np.log(np.where(targets, near, 1 - near)), 0).sum(axis=1)
    return loss, known.sum(axis=1).astype(np.float64)


def top_is_right(probs: Floats, targets: Bools, known: Bools) -> Floats:
    """Tell, (B,), whether each sample's most likely node is annotated: 1 or 0; NaN where the annotation does not tell.

    The mean is the precision at one of multi-label classification, 1 − one-error (Schapire & Singer, Machine Learning
    2000).

    >>> top_is_right(np.array([[0.2, 0.7], [0.6, 0.1]]), np.array([[False, True]] * 2), np.ones((2, 2), bool))
    array([1., 0.])
    """
    rows, top = np.arange(len(probs)), probs.argmax(axis=1)
    return np.where(known[rows, top], targets[rows, top].astype(float), np.nan)


def edge_violations(probs: Floats, edges: npt.NDArray[np.intp]) -> Floats:
    """Return, (B,), the share of edges on which the child is more probable than its parent.

    Edges are (E, 2) child and parent columns, of probs (B, N).

    >>> edge_violations(np.array([[0.2, 0.7], [0.7, 0.2]]), np.array([[1, 0]]))
    array([1., 0.])
    """
    if not len(edges):
        return np.zeros(len(probs))
    return np.asarray((probs[:, edges[:, 0]] > probs[:, edges[:, 1]]).mean(axis=1))


def incoherent(present: Bools, edges: npt.NDArray[np.intp]) -> Bools:
    """Tell, (B,), which samples have a node present under a parent that is not.

    >>> incoherent(np.array([[False, True]]), np.array([[1, 0]]))
    array([ True])
    """
    return np.asarray((present[:, edges[:, 0]] & ~present[:, edges[:, 1]]).any(axis=1))


def wilson(hits: Floats, trials: Floats, level: float) -> tuple[Floats, Floats]:
    """Return the bounds of a share's interval at `level` in (0, 1); NaN where there are no trials.

    Source: score interval, Wilson, JASA 1927.

    >>> [bound.round(3).tolist() for bound in wilson(np.array([8.0]), np.array([10.0]), 0.95)]
    [[0.49], [0.943]]
    """
    return score_interval(ratio(hits, trials), trials, NormalDist().inv_cdf((1 + level) / 2))


def score_interval(share: Floats, trials: Floats, z: float) -> tuple[Floats, Floats]:
    """Return the shares that lie at most z of their own standard errors from the share seen; NaN without trials.

    >>> [bound.round(2).tolist() for bound in score_interval(np.array([0.8]), np.array([10.0]), 1.0)]
    [[0.65], [0.9]]
    """
    n = np.where(trials == 0, 1, trials)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
