"""Threshold rules: from each node's ranked samples to its threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpa_hier.metrics.arrays import Floats
from hpa_hier.metrics.ranking import Ranked, f1_curve


def f1_thresholds(ranked: Ranked) -> Floats:
    """Return each node's threshold of largest F1, (N,), exactly; the highest among equals.

    A node without positives gets one that no sample reaches.

    >>> probs, present = np.array([[0.9], [0.8], [0.4], [0.2]]), np.array([[True], [True], [False], [False]])
    >>> f1_thresholds(Ranked.of(probs, present, np.ones_like(present))).round(3)
    array([0.6])
    """
    best = np.argmax(f1_curve(ranked), axis=1)
    return ranked.thresholds_at(np.where(ranked.hits.any(axis=1), best + 1, 0))


def prevalence_thresholds(ranked: Ranked) -> Floats:
    """Return the thresholds (N,) that call as many samples present as carry the node.

    The number called present is the nearest to that wanted which a threshold can give; the smaller of two equally
    near. Only samples with a known answer count.
    """
    reached = np.cumsum(ranked.counted, axis=1)
    wanted = ranked.hits.sum(axis=1, keepdims=True)
    distance = np.abs(reached - wanted).astype(np.float64)
    distance[~ranked.ends] = np.inf
    return ranked.thresholds_at(np.argmin(np.concatenate([wanted, distance], axis=1), axis=1))


def global_threshold(ranked: Ranked, nodes: Sequence[int]) -> float:
    """Return the one threshold of largest macro F1 over `nodes`, exactly.

    Walking down all probabilities of all nodes, each step changes one node's F1; the sum of the changes so far is
    the macro F1 there. Nodes without positives are left out; 0.5 where none has any.
    """
    return float(Walk.of(ranked, nodes).best(None))


@dataclass(frozen=True)
class Walk:
    """The way down all probabilities of all nodes that have positives.

    Attributes:
        ranked: these nodes' samples.
        order: places in the flattened `ranked`, by falling probability.
        probs: the probabilities in that order.
    """

    ranked: Ranked
    order: NDArray[np.intp]
    probs: Floats

    @classmethod
    def of(cls, ranked: Ranked, nodes: Sequence[int]) -> Walk:
        """Sort the way once; where `best` is asked for resamples, it stays the same."""
        chosen = ranked.rows([node for node in nodes if ranked.hits[node].any()])
        probs = chosen.probs.ravel()
        order = np.argsort(-probs, kind="stable")  # keeps each node's own steps in their order, and likes sorted runs
        return cls(chosen, order, probs[order])

    def best(self, times: NDArray[np.float32] | None) -> float:
        """Return the threshold of largest macro F1 where sample b stands times[b] times; None: once."""
        ranked = self.ranked
        if not ranked.hits.size:
            return 0.5
        drawn: NDArray[np.floating] | bool = True if times is None else times[ranked.order]
        found = np.cumsum(ranked.hits * drawn, axis=1, dtype=np.float64)
        reached = np.cumsum(ranked.counted * drawn, axis=1, dtype=np.float64)
        positives = np.maximum(found[:, -1:], 1)  # a node without positives in the resample has F1 0 throughout
        reached += positives
        found /= reached
        found[:, 1:] -= found[:, :-1].copy()  # from here on what each step changes
        total = np.cumsum(found.ravel()[self.order])
        total[:-1][self.probs[:-1] == self.probs[1:]] = -np.inf
        best = int(np.argmax(total))
        outside = self.probs[best + 1] if best + 1 < len(self.probs) else 0.0
        middle = outside + (self.probs[best] - outside) / 2
        return float(middle if middle > outside else self.probs[best])


def plugin_thresholds(ranked: Ranked, times: NDArray[np.float32] | None = None) -> Floats:
    """Return half the best F1 that the probabilities themselves expect: the best threshold where they are calibrated.

    The F1 expected of calling the k most likely samples present is 2 * (their probabilities' sum) / (k + all
    probabilities' sum). No target is looked at, so that nodes without positives have a threshold too.

    Args:
        ranked: the samples, N nodes.
        times: (R, B) how often each sample stands in each resample; None: once.

    Returns:
        (N,), or (R, N) with times; in [0, 0.5].

    Source: Lipton, Elkan & Narayanaswamy, Optimal thresholding of classifiers to maximize F1, ECML 2014.
    """
    if times is None:
        return _half_expected_f1(ranked.probs, ranked.counted.astype(np.float64))
    columns = [
        _half_expected_f1(probs, times[:, order] * counted)
        for probs, order, counted in zip(ranked.probs, ranked.order, ranked.counted, strict=True)
    ]
    return np.stack(columns, axis=1)


def _half_expected_f1(probs: Floats, weights: NDArray[np.floating]) -> Floats:
    expected = np.cumsum(probs * weights, axis=-1)
    reached = np.cumsum(weights, axis=-1)
    whole = reached + expected[..., -1:]
    best: Floats = np.max(expected / np.where(whole > 0, whole, 1.0), axis=-1)
    return best
