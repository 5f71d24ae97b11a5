"""Influence: metrics with what their intervals need: by how much each unit of samples moves them.

Every metric here is a smooth function of sums over samples, so that its sampling error is, to first order, the sum of
what the units contribute: the infinitesimal jackknife (Jaeckel 1972; Efron, JASA 1992). That is the variance of the
bootstrap with as many resamples as one likes, in one pass. What it misses is added where few units speak for a metric:
Wilson's interval for each node, whose squared distances add up in a mean over nodes (variance recovery, Zou & Donner,
Statistics in Medicine 2008), and the bias of F1, average precision and calibration error.
`benchmarks/interval_coverage.py` shows what the intervals cover.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from hpa_hier.metrics.scores import Bools, CalibrationSums, Floats, ratio, score_interval, wilson

ALIKE = 10  # units that speak for samples of a unit being perfectly alike, until the data say how alike they are
IMAGINED = 2  # units that are right, and as many that are wrong, added where a variance is taken (Agresti & Coull 1998)


@dataclass(frozen=True)
class Sampling:
    """How samples were drawn, in whole units such as antibodies, and how sure an interval is to be."""

    unit: NDArray[np.integer]  # (B,) number, from 0, of each sample's unit
    level: float = 0.95  # share of intervals that hold the true value, in (0, 1)

    @cached_property
    def units(self) -> int:
        """How many units there are, U."""
        return int(self.unit.max()) + 1

    @cached_property
    def degrees(self) -> int:
        """Degrees of freedom of Student's t: those of the units and the imagined ones."""
        return self.units - 1 + 2 * IMAGINED

    @cached_property
    def quantile(self) -> float:
        """How many standard errors an interval reaches."""
        return float(student.ppf((1 + self.level) / 2, self.degrees))

    def sum(self, values: NDArray[np.generic]) -> Floats:
        """Sum (B, ...) over the samples of each unit, (U, ...)."""
        numbers = values[self._order].astype(np.float64)
        return np.asarray(np.add.reduceat(numbers, self._starts, axis=0))

    def variance(self, influence: Floats) -> Floats:
        """Return the variance of a sum of contributions, (U, ...) in all."""
        return np.asarray((influence**2).sum(axis=0) * self.units / max(1, self.units - 1))

    def trials(self, counts: NDArray[np.generic]) -> Floats:
        """Return how many independent trials (B, ...) counts are worth, if samples of a unit are perfectly alike.

        Source: effective sample size under clustering, Kish 1965.

        >>> float(Sampling(np.array([0, 0, 1])).trials(np.array([1, 1, 1])).round(1))
        1.8
        """
        by_unit = self.sum(counts)
        return ratio(by_unit.sum(axis=0) ** 2, (by_unit**2).sum(axis=0))

    def node_trials(self, counts: NDArray[np.generic], contributions: Floats) -> Floats:
        """Return how many independent trials each node's counts are worth, by how alike samples of a unit are.

        How alike they are is the ratio of the variance between units to that between samples (the design effect), of
        all nodes together, since one node of few samples does not tell; ALIKE units speak for perfectly alike ones.

        Args:
            counts: (B, N) trials of each sample.
            contributions: (B, N) by how much each sample moves each node's metric.
        """
        total, fewest = counts.sum(axis=0), self.trials(counts)
        alone = float((contributions**2).sum())
        effect = (
            float(self.variance(self.sum(contributions)).sum()) / alone if alone else np.inf
        )  # all alike: nothing is told
        largest = ratio(total, fewest)
        shrunk = (max(1.0, effect) * self.units + ALIKE * largest) / (self.units + ALIKE)
        return ratio(total, np.minimum(shrunk, largest))

    @cached_property
    def _order(self) -> NDArray[np.intp]:
        return np.argsort(self.unit, kind="stable")

    @cached_property
    def _starts(self) -> NDArray[np.intp]:
        return np.searchsorted(self.unit[self._order], np.arange(self.units))


@dataclass(frozen=True)
class Measured:
    """A metric, or one of each node; NaN where the data do not define it."""

    value: Floats  # () or (N,)
    influence: Floats  # (U,) or (U, N) by how much each unit moves it, to first order; 0 where it is not defined
    below: Floats  # () or (N,) what is added to t² times the variance for the lower bound's squared distance
    above: Floats  # the same of the upper bound
    bias: Floats  # by how much the value is expected to be too high; the bound on the side of the truth is moved
    doubt: Floats  # what few units add to the variance of a difference to another system; the least variance

    def at(self, column: int) -> Self:
        """Return one node's metric, ()."""
        parts = (self.below, self.above, self.bias, self.doubt)
        return type(self)(self.value[column], self.influence[:, column], *(part[column] for part in parts))

    def mean(self, columns: Sequence[int] | NDArray[np.intp]) -> Self:
        """Average over those of the chosen nodes whose metric is defined: what a macro average estimates.

        The interval is for the mean of these nodes alone, on unlimited samples drawn as the units were.
        """
        chosen = np.asarray(columns, np.intp)
        chosen = chosen[~np.isnan(self.value[chosen])]
        nodes = max(1, len(chosen))
        squares = (part[chosen].sum() / nodes**2 for part in (self.below, self.above, self.doubt))
        below, above, doubt = map(np.asarray, squares)
        value = np.asarray(self.value[chosen].mean() if len(chosen) else np.nan)
        bias = np.asarray(self.bias[chosen].sum() / nodes)
        return type(self)(value, self.influence[:, chosen].sum(axis=1) / nodes, below, above, bias, doubt)


def interval(one: Measured, sampling: Sampling, largest: float = 1.0) -> tuple[Floats, Floats]:
    """Return the bounds of a metric's interval, which holds the metric and is never of zero width.

    Args:
        one: () or (N,).
        sampling: with the level.
        largest: that the metric can be; the smallest is 0.

    Returns:
        Lower and upper bounds, shaped as the metric; NaN where it is not defined.

    >>> present = np.array([[True]])
    >>> one = f1_by_node(present, present, present, sampling := Sampling(np.array([0])))
    >>> [float(one.value[0]), *(round(float(bound[0]), 2) for bound in interval(one, sampling))]
    [1.0, 0.13, 1.0]
    """
    spread = sampling.quantile**2 * sampling.variance(one.influence)
    least = sampling.quantile**2 * one.doubt  # where the nodes of a mean happen to cancel in the few units there are
    low = one.value - np.maximum(one.bias, 0) - np.sqrt(np.maximum(spread + one.below, least))
    high = one.value - np.minimum(one.bias, 0) + np.sqrt(np.maximum(spread + one.above, least))
    return np.clip(low, 0, largest), np.clip(high, 0, largest)


def ratio_of_sums(
    part: NDArray[np.generic], whole: NDArray[np.generic], sampling: Sampling, worst: float | None = None
) -> Measured:
    """Measure Σ part / Σ whole over samples: a micro average, or a mean where each whole is 1.

    Args:
        part: (B,).
        whole: (B,), at least 0.
        sampling: of the samples.
        worst: None for a share, whose interval is Wilson's for as many trials as its variance tells; for a loss, where
            imagined units are that are wrong; those that are right are at 0.

    >>> float(ratio_of_sums(np.array([1, 0, 1]), np.ones(3), Sampling(np.arange(3))).value.round(3))
    0.667
    """
    parts, wholes = part.astype(np.float64), whole.astype(np.float64)
    total, nothing = wholes.sum(), np.asarray(0.0)
    value = ratio(parts.sum(), total)
    if not total:
        return Measured(value, np.zeros(sampling.units), nothing, nothing, nothing, nothing)
    influence, trials, span = sampling.sum(parts - value * wholes) / total, sampling.trials(whole), worst or 1.0
    imagined = IMAGINED * (value**2 + (span - value) ** 2) / (trials + 2 * IMAGINED) ** 2
    doubt = _doubt(np.clip(value / span, 0, 1), trials) * span**2
    spread = sampling.quantile**2 * sampling.variance(influence)
    if worst is None:
        near = (value * trials + IMAGINED) / (trials + 2 * IMAGINED)
        worth = near * (1 - near) / (sampling.variance(influence) + imagined)
        low, high = score_interval(value, worth, sampling.quantile)
        return Measured(value, influence, (value - low) ** 2 - spread, (high - value) ** 2 - spread, nothing, doubt)
    few = sampling.quantile**2 * imagined
    return Measured(value, influence, few, few, nothing, doubt)


def mean_of_samples(values: NDArray[np.generic], sampling: Sampling) -> Measured:
    """Measure the mean of (B,) values in [0, 1] over samples, NaN left out."""
    numbers = values.astype(np.float64)
    defined = ~np.isnan(numbers)
    return ratio_of_sums(np.where(defined, numbers, 0), defined, sampling)


def share_by_node(part: Bools, whole: Bools, sampling: Sampling) -> Measured:
    """Measure, for each node, the share of `whole` that is `part`: precision or recall; part and whole are (B, N)."""
    total = whole.sum(axis=0)
    value = ratio(part.sum(axis=0), total)
    contributions = np.nan_to_num((part - value * whole) / np.maximum(total, 1))
    return _with_wilson(value, contributions, value, whole, sampling)


def f1_by_node(present: Bools, targets: Bools, known: Bools, sampling: Sampling) -> Measured:
    """Measure each node's F1, as `scores.f1` has it; all are (B, N).

    F1 = 2 J / (1 + J), where J is the share of right ones among the samples that carry the node or are called it:
    given their number, a binomial share, so that Wilson's interval for J is one for F1.

    >>> yes, no = np.array([[True], [True]]), np.array([[True], [False]])
    >>> f1_by_node(yes, no, yes, Sampling(np.arange(2))).value.round(3)
    array([0.667])
    """
    right, wrong = present & targets & known, (present ^ targets) & known
    whole = 2.0 * right + wrong
    total = whole.sum(axis=0)
    value = np.where((targets & known).any(axis=0), ratio(2.0 * right.sum(axis=0), total), np.nan)
    contributions = np.nan_to_num((2.0 * right - value * whole) / np.maximum(total, 1))
    found = ratio(right.sum(axis=0), (right | wrong).sum(axis=0))
    trials = np.nan_to_num(sampling.trials(right | wrong)) + 2 * IMAGINED
    near = (np.nan_to_num(found) * (trials - 2 * IMAGINED) + IMAGINED) / trials
    bias = -2 / (1 + near) ** 3 * near * (1 - near) / trials  # half of F1's second derivative in J, times J's variance
    return _with_wilson(
        value, contributions, found, right | wrong, sampling, bias, lambda share: 2 * share / (1 + share)
    )


def average_precision_by_node(probs: Floats, targets: Bools, known: Bools, sampling: Sampling) -> Measured:
    """Measure each node's average precision, as `scores.average_precision` has it; all are (B, N).

    Wilson's interval, with the positives as trials, stands in for what few positives do not show (a binomial bound, as
    in Boyd, Eng & Page, ECML PKDD 2013).
    """
    columns = [_average_precision(probs[:, n], targets[:, n], known[:, n]) for n in range(probs.shape[1])]
    value, bias = (np.array([column[k] for column in columns]) for k in (0, 1))
    contributions = np.stack([column[2] for column in columns], axis=1)
    return _with_wilson(value, contributions, value, targets & known, sampling, bias)


def _average_precision(probs: Floats, targets: Bools, known: Bools) -> tuple[float, float, Floats]:
    """Return one node's average precision, its bias and its derivative by each sample's weight, (B,).

    With H positives among the T samples down to a threshold, AP = Σ gained H / T / P. Its bias: a positive counts
    itself among the H, P / (P + 1) of which are expected there, and H / T is convex in the negatives, whose number
    varies like a Poisson one.
    """
    derivative = np.zeros(len(probs))
    order = np.argsort(-probs, kind="stable")
    order = order[known[order]]
    hits = targets[order].astype(np.float64)
    positives = hits.sum()
    if not positives:
        return np.nan, 0.0, derivative
    ranked = probs[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    step = np.searchsorted(ends, np.arange(len(order)))  # of each ranked sample: which of the thresholds reaches it
    found, taken = np.cumsum(hits)[ends], ends + 1.0
    gained = np.diff(found, prepend=0.0)
    ap = float((gained * found / taken).sum() / positives)
    expected, wrong = found * positives / (positives + 1), taken - found
    corrected = expected / np.maximum(expected + wrong, 1e-300)
    corrected -= wrong * expected / np.maximum(expected + wrong, 1e-300) ** 3
    bias = ap - float((gained * np.clip(corrected, 0, 1)).sum() / positives)
    more_hits, more_taken = (np.cumsum(x[::-1])[::-1] for x in (gained / taken, gained * found / taken**2))
    derivative[order] = (hits * ((found / taken)[step] - ap + more_hits[step]) - more_taken[step]) / positives
    return ap, bias, derivative


def calibration_error(sums: CalibrationSums, sampling: Sampling, worst: float) -> Measured:
    """Measure the expected calibration error, as `scores.calibration_error` has it.

    Its bias: noise alone gives a bin a distance |g|. With s² the noise's variance, the true distance is taken to be
    m = √max(0, g² − s²), and the bias |g| − m; where m is 0, at least what noise alone has, s √(2/π).

    Args:
        sums: of each sample and bin, (B, K).
        sampling: of the samples.
        worst: span of the error, as in `ratio_of_sums`.
    """
    gap = sums.probs - sums.truth
    one = ratio_of_sums((gap * np.sign(gap.sum(axis=0))).sum(axis=1), sums.entries.sum(axis=1), sampling, worst)
    seen, noise = np.abs(gap.sum(axis=0)), np.sqrt((sampling.sum(gap) ** 2).sum(axis=0))
    true = np.sqrt(np.maximum(seen**2 - noise**2, 0))
    too_far = np.where(true > 0, seen - true, np.maximum(seen, noise * np.sqrt(2 / np.pi)))
    bias = ratio(too_far.sum(), sums.entries.sum())
    return Measured(one.value, one.influence, one.below, one.above, np.asarray(bias), one.doubt)


def _with_wilson(
    value: Floats,
    contributions: Floats,
    share: Floats,
    counts: Bools,
    sampling: Sampling,
    bias: Floats | float = 0.0,
    transform: Callable[[Floats], Floats] = np.asarray,
) -> Measured:
    """Measure nodes, (N,); where Wilson's interval for a share of (B, N) counts is the wider one, it is taken."""
    trials = np.nan_to_num(sampling.node_trials(counts, contributions))
    influence = sampling.sum(contributions)
    low, high = map(transform, wilson(share * trials, trials, sampling.level))
    spread = sampling.quantile**2 * sampling.variance(influence)
    below, above = (
        np.maximum(np.nan_to_num((value - bound) ** 2) - spread, 0)
        for bound in (np.fmin(low, value), np.fmax(high, value))
    )
    return Measured(value, influence, below, above, np.nan_to_num(bias + 0 * value), _doubt(share, trials))


def _doubt(share: Floats, trials: Floats) -> Floats:
    """Return the variance that a difference of two systems has though they decide alike on every sample here.

    That of half a trial more in either direction (Bonett & Price, British Journal of Mathematical and Statistical
    Psychology 2012, take a whole one), in proportion to how often either is wrong.
    """
    near = (np.nan_to_num(share) * trials + 1) / (trials + 2)
    return np.asarray(4 * near * (1 - near) / (trials + 2) ** 2)
