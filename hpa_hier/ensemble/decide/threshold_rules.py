"""The threshold rules `plugin`, `bagged`, `f1` and `fixed`, and the table of rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hpa_hier.ensemble.decide.rule import Choice, Resamples, ThresholdOptions, ThresholdRule
from hpa_hier.metrics.arrays import Floats
from hpa_hier.metrics.ranking import Ranked, f1_curve

_HALF_OWN = 100.0  # samples at which a plugin threshold's own value counts half, beside its level's mean
_HALF_BAGGED = 100.0  # positives at which the mean F1 threshold over resamples counts half beside the plugin one
_BAGS = 100  # resamples of a bagged threshold where no interval is asked for
_FAR = 0.1  # F1 that a rank of a bagged threshold may lie below the best of all samples
_PLACES = 64  # ranks that a bagged threshold looks at, at most
_ENTRIES = 1 << 19  # weights of resamples looked at at a time, so that memory does not grow with the samples
_MOST = 2.0  # samples that a plugin threshold calls at most, for each one that carries the node


class Fixed(ThresholdRule):
    """One value for all nodes, whatever the samples."""

    name: ClassVar[str] = "fixed"

    def fit(self, ranked: Ranked, options: ThresholdOptions) -> Choice:
        """Return the value."""
        return Choice(np.full(len(ranked.probs), options.fixed), (self.name,) * len(ranked.probs))

    def refit(self, resamples: Resamples, choice: Choice, options: ThresholdOptions) -> Floats:
        """Return the value for each resample."""
        return np.broadcast_to(choice.values, (len(resamples.weights), len(choice.values)))


class F1(ThresholdRule):
    """The threshold of largest F1; nodes with few positives get the prevalence threshold."""

    name: ClassVar[str] = "f1"

    def fit(self, ranked: Ranked, options: ThresholdOptions) -> Choice:
        """Choose the thresholds exactly."""
        positives = ranked.hits.sum(axis=1)
        small = (positives < options.small_class) | (positives == 0)
        values = np.where(small, prevalence_thresholds(ranked), f1_thresholds(ranked))
        return Choice(values, tuple("prevalence" if one else self.name for one in small))

    def refit(self, resamples: Resamples, choice: Choice, options: ThresholdOptions) -> Floats:
        """Choose each node's threshold again, without sorting again."""
        ranked, columns = resamples.ranked(), []
        for node, rule in enumerate(choice.rules):
            refit = f1_thresholds if rule == self.name else prevalence_thresholds
            columns.append(refit(ranked.rows([node]), resamples.weights[:, ranked.order[node]]))
        return np.stack(columns, axis=1)


class Plugin(ThresholdRule):
    """Half the F1 that the probabilities expect, near the level's mean where samples are few.

    Thresholds are pulled to the geometric mean of their level's by B / (B + 100): the probabilities that they follow
    from are themselves fitted to few positives then, and too low out of fold.
    """

    name: ClassVar[str] = "plugin"

    def fit(self, ranked: Ranked, options: ThresholdOptions) -> Choice:
        """Choose the thresholds."""
        values = _pull(plugin_thresholds(ranked), ranked, options.level)
        return Choice(values, (self.name,) * len(values))

    def refit(self, resamples: Resamples, choice: Choice, options: ThresholdOptions) -> Floats:
        """Choose the thresholds again, without sorting again."""
        ranked = resamples.ranked()
        return _pull(plugin_thresholds(ranked, resamples.weights), ranked, options.level)


class Bagged(Plugin):
    """The plugin threshold, moved towards the mean of F1 thresholds over resamples where positives are many."""

    name: ClassVar[str] = "bagged"

    def fit(self, ranked: Ranked, options: ThresholdOptions) -> Choice:
        """Choose the thresholds; nodes with few positives keep the plugin one."""
        values, positives = super().fit(ranked, options).values, ranked.hits.sum(axis=1)
        enough = (positives >= options.small_class) & (positives > 0)
        for node in map(int, np.flatnonzero(enough)):
            share = positives[node] / (positives[node] + _HALF_BAGGED)
            values[node] += share * (_bags(ranked.rows([node]), options).mean() - values[node])
        return Choice(values, tuple(self.name if one else Plugin.name for one in enough))

    def refit(self, resamples: Resamples, choice: Choice, options: ThresholdOptions) -> Floats:
        """Choose the thresholds again."""
        ranked, draws = resamples.ranked(), super().refit(resamples, choice, options)
        for node in (node for node, rule in enumerate(choice.rules) if rule == self.name):
            row, weights = ranked.rows([node]), resamples.weights[:, ranked.order[node]]
            bags = f1_thresholds(row, weights) if resamples.whole_units else _bags(row, options)
            positives = ranked.hits[node].sum()
            draws[:, node] += positives / (positives + _HALF_BAGGED) * (bags - draws[:, node])
        return draws


THRESHOLDS: dict[str, ThresholdRule] = {rule.name: rule for rule in (Plugin(), Bagged(), F1(), Fixed())}


def f1_thresholds(ranked: Ranked, weights: NDArray[np.float32] | None = None) -> Floats:
    """Return each node's threshold of largest F1, exactly; the highest among equals.

    Args:
        ranked: the samples of N nodes.
        weights: of one node alone: (R, B) how often each resample holds each ranked sample; None: once.

    Returns:
        (N,), or (R,) with weights. A node without positives gets one that no sample reaches.

    >>> probs, present = np.array([[0.9], [0.8], [0.4], [0.2]]), np.array([[True], [True], [False], [False]])
    >>> f1_thresholds(Ranked.of(probs, present, np.ones_like(present))).round(3)
    array([0.6])
    """
    f1 = f1_curve(ranked, weights)
    ranks = np.where(f1.max(axis=1) > 0, np.argmax(f1, axis=1) + 1, 0)
    return ranked.thresholds_at(ranks.reshape(len(ranked.probs), -1)).reshape(ranks.shape)


def prevalence_thresholds(ranked: Ranked, weights: NDArray[np.float32] | None = None) -> Floats:
    """Return the thresholds that call as many samples present as carry the node.

    The number called present is the nearest to that wanted which a threshold can give; the smaller of two equally
    near. Only samples with a known answer count. Arguments and shapes are those of `f1_thresholds`.

    >>> probs, present = np.array([[0.9], [0.5], [0.2]]), np.array([[False], [True], [True]])
    >>> prevalence_thresholds(Ranked.of(probs, present, np.ones_like(present))).round(3)
    array([0.35])
    """
    times = 1 if weights is None else weights
    reached = np.cumsum(ranked.counted * times, axis=1)
    wanted = (ranked.hits * times).sum(axis=1, keepdims=True)
    distance = np.where(ranked.ends, np.abs(reached - wanted).astype(np.float64), np.inf)
    ranks = np.argmin(np.concatenate([wanted, distance], axis=1), axis=1)
    return ranked.thresholds_at(ranks.reshape(len(ranked.probs), -1)).reshape(ranks.shape)


def plugin_thresholds(ranked: Ranked, weights: NDArray[np.float32] | None = None) -> Floats:
    """Return half the best F1 that the probabilities themselves expect: the best threshold where they are calibrated.

    The F1 expected of calling the k most likely samples present is 2 * (their probabilities' sum) / (k + all
    probabilities' sum). So nodes with few positives, or none, have a threshold too. Where probabilities tell samples
    hardly apart, the best F1 is had by calling all of them; so no more are called than twice as many as carry the node,
    or as the probabilities expect to.

    Args:
        ranked: the samples, N nodes.
        weights: (R, B) how often each resample holds each sample; None: once.

    Returns:
        (N,), or (R, N) with weights; above 0.

    Source: Lipton, Elkan & Narayanaswamy, Optimal thresholding of classifiers to maximize F1, ECML 2014.

    >>> probs = np.array([[0.9], [0.1]])
    >>> plugin_thresholds(Ranked.of(probs, probs > 0.5, np.ones_like(probs, bool)))
    array([0.45])
    """
    if weights is None:
        return _half_expected_f1(ranked, np.ones_like(ranked.probs))
    at_once = max(1, _ENTRIES // max(1, weights.shape[1]))
    found = np.empty((len(weights), len(ranked.order)))
    for node, order in enumerate(ranked.order):
        one = ranked.rows([node])
        for first in range(0, len(weights), at_once):
            some = slice(first, first + at_once)
            found[some, node] = _half_expected_f1(one, weights[some, order])
    return found


def _pull(values: Floats, ranked: Ranked, level: Sequence[int]) -> Floats:
    """Pull thresholds (…, N) of nodes of which few samples are known to the geometric mean of their level's.

    A node without a positive has no say in the mean, unless the level has no other: the better the others are told
    apart, the nearer to 0 its probabilities and its threshold are.
    """
    pulled, samples, positive = values.copy(), ranked.counted.sum(axis=1), ranked.hits.sum(axis=1) > 0
    share = samples / (samples + _HALF_OWN)
    for one in sorted(set(level)):
        nodes = np.flatnonzero(np.array(level) == one)
        logs = np.log(values[..., nodes])
        heard = positive[nodes] if positive[nodes].any() else np.ones(len(nodes), bool)
        common = np.where((logs < 0) & heard, logs, np.nan)  # a threshold above 1 is none
        found = ~np.isnan(common).all(axis=-1, keepdims=True)
        mean = np.where(found, np.nanmean(np.where(found, common, 0.0), axis=-1, keepdims=True), 0.0)
        pulled[..., nodes] = np.where(
            logs < 0, np.exp(share[nodes] * logs + (1 - share[nodes]) * mean), values[..., nodes]
        )
    return pulled


def _half_expected_f1(ranked: Ranked, weights: NDArray[np.floating]) -> Floats:
    """Return the plugin thresholds of N nodes, weights (N, B), or of one node, weights (R, B)."""
    counted = weights * ranked.counted
    expected, reached = np.cumsum(ranked.probs * counted, axis=1), np.cumsum(counted, axis=1)
    whole = reached + expected[:, -1:]
    half = np.max(expected / np.where(whole > 0, whole, 1.0), axis=1)
    most = _MOST * np.maximum(expected[:, -1:], (weights * ranked.hits).sum(axis=1, keepdims=True))
    few = ranked.ends & (reached <= np.maximum(most, 1.0))
    last = np.where(few.any(axis=1), few.shape[1] - np.argmax(few[:, ::-1], axis=1), 0)
    least = ranked.thresholds_at(last.reshape(len(ranked.probs), -1)).reshape(last.shape)
    # a probability of 0 reaches no threshold
    return np.asarray(np.maximum(np.maximum(half, least), np.finfo(np.float64).tiny))


def _bags(row: Ranked, options: ThresholdOptions) -> Floats:
    """F1 thresholds (R,) of one node on R resamples, each of which holds each sample about once (Poisson's numbers).

    The best rank is that of a positive, and near the best of all samples in every resample; so some places around that
    are enough, and what lies between two of them is drawn as one number. Time does not grow with the samples.
    """
    f1 = f1_curve(row)[0]
    ends = np.flatnonzero(row.ends[0])
    fresh = np.diff(np.cumsum(row.hits[0])[ends], prepend=0) > 0  # equals are one step, that holds a positive or none
    behind = ends[fresh & (f1[ends] >= f1.max() - _FAR)]
    places = behind[np.unique(np.linspace(0, len(behind) - 1, _PLACES).round().astype(int))]
    both = (row.hits[0], row.counted[0] & ~row.hits[0])
    hits, others = (np.diff(np.concatenate([[0], np.cumsum(one)[places], [one.sum()]])) for one in both)
    rng = np.random.default_rng(options.seed)
    shape = (options.resamples or _BAGS, len(places) + 1)
    found = np.cumsum(rng.poisson(hits, shape), axis=1)
    reached = found + np.cumsum(rng.poisson(others, shape), axis=1)
    drawn_f1 = 2 * found[:, :-1] / np.maximum(reached[:, :-1] + found[:, -1:], 1)
    return np.asarray(row.thresholds_at(places[np.argmax(drawn_f1, axis=1)][None] + 1)[0])
