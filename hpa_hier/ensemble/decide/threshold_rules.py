"""The threshold rules `plugin`, `f1` and `fixed`, and the table of rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hpa_hier.ensemble.decide.rule import Choice, Resamples, ThresholdOptions, ThresholdRule
from hpa_hier.metrics.arrays import Floats
from hpa_hier.metrics.ranking import Ranked, f1_curve

_HALF_OWN = 100.0  # samples at which a plugin threshold's own value counts half, beside its level's mean
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
        values = _pull(plugin_thresholds(ranked), ranked.counted.sum(axis=1), options.level)
        return Choice(values, (self.name,) * len(values))

    def refit(self, resamples: Resamples, choice: Choice, options: ThresholdOptions) -> Floats:
        """Choose the thresholds again, without sorting again."""
        ranked = resamples.ranked()
        return _pull(plugin_thresholds(ranked, resamples.weights), ranked.counted.sum(axis=1), options.level)


THRESHOLDS: dict[str, ThresholdRule] = {rule.name: rule for rule in (Plugin(), F1(), Fixed())}


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
    nodes = [(ranked.rows([node]), weights[:, order]) for node, order in enumerate(ranked.order)]
    return np.stack([_half_expected_f1(*node) for node in nodes], axis=1)


def _pull(values: Floats, samples: NDArray[np.integer], level: Sequence[int]) -> Floats:
    """Pull thresholds (…, N) of nodes that so many samples (N,) are known of to the geometric mean of their level's."""
    pulled = values.copy()
    share = samples / (samples + _HALF_OWN)
    for one in sorted(set(level)):
        nodes = np.flatnonzero(np.array(level) == one)
        logs = np.log(values[..., nodes])
        common = np.where(logs < 0, logs, np.nan)  # a threshold above 1 is none
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
