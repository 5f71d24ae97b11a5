"""Ranking: every node's samples by falling probability, and the F1 of calling the first k of them present."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpa_hier.metrics.arrays import Bools, Floats

_ABOVE_ALL = float(np.nextafter(1.0, 2.0))  # the threshold that even a probability of 1 does not reach


@dataclass(frozen=True)
class Ranked:
    """Samples of every node by falling probability; a rank k calls the first k of them present."""

    order: NDArray[np.intp]  # (N, B) rows of the samples; (N, 0) where they were not asked for
    probs: Floats  # (N, B), falling
    hits: Bools  # (N, B) True where the sample carries the node and that is known
    counted: Bools  # (N, B) False where the annotation does not say
    ends: Bools  # (N, B) True at the last of equal probabilities: only there can a threshold lie

    @classmethod
    def of(cls, probs: Floats, present: Bools, known: Bools, *, ordered: bool = False) -> Ranked:
        """Rank samples; probs, present and known are (B, N). Where each sample went is kept only if `ordered`."""
        if not ordered:
            return cls._without_order(probs, present & known, known)
        falling = np.ascontiguousarray(-probs.T)
        order = np.argsort(falling, axis=1)
        ranked = -np.take_along_axis(falling, order, axis=1)
        counted = np.take_along_axis(np.ascontiguousarray(known.T), order, axis=1)
        hits = np.take_along_axis(np.ascontiguousarray((present & known).T), order, axis=1)
        return cls(order, ranked, hits, counted, _ends(ranked))

    @classmethod
    def _without_order(cls, probs: Floats, hits: Bools, known: Bools) -> Ranked:
        """Sort each probability together with its two answers, as one whole number: that is faster than by places.

        The bits of floating point numbers from 0 to 1 are in their order, and leave the highest two free.
        """
        keys = np.ascontiguousarray(probs.T).view(np.uint64) << np.uint64(2)
        keys |= np.ascontiguousarray(hits.T).view(np.uint8) * np.uint64(2) | known.T.view(np.uint8)
        keys.sort(axis=1)
        keys = np.ascontiguousarray(keys[:, ::-1])
        ranked = (keys >> np.uint64(2)).view(np.float64)
        answers = (keys & np.uint64(3)).astype(np.uint8)
        none = np.empty((len(keys), 0), np.intp)
        return cls(none, ranked, answers >= 2, (answers & 1).astype(bool), _ends(ranked))

    def rows(self, nodes: Sequence[int]) -> Ranked:
        """Return the ranking of these nodes alone."""
        rows = list(nodes)
        return Ranked(self.order[rows], self.probs[rows], self.hits[rows], self.counted[rows], self.ends[rows])

    def thresholds_at(self, ranks: NDArray[np.intp]) -> Floats:
        """Turn ranks into thresholds: half-way between the last sample called present and the first that is not.

        Args:
            ranks: (N, ...) numbers of samples called present, 0 to B.

        Returns:
            The thresholds, shaped as `ranks`; beyond the ends, half-way to 1 and to 0.
        """
        flat = ranks.reshape(len(ranks), -1)
        framed = np.pad(self.probs, ((0, 0), (1, 1)), constant_values=((0.0, 0.0), (_ABOVE_ALL, 0.0)))
        inside = np.take_along_axis(framed, flat, axis=1)
        outside = np.take_along_axis(framed, flat + 1, axis=1)
        middle = outside + (inside - outside) / 2
        values: Floats = np.where(middle > outside, middle, inside)  # neighbours in floating point have no middle
        return values.reshape(ranks.shape)


def _ends(ranked: Floats) -> Bools:
    ends = np.ones(ranked.shape, bool)
    ends[:, :-1] = ranked[:, :-1] != ranked[:, 1:]
    return ends


def f1_curve(ranked: Ranked, weights: NDArray[np.float32] | None = None) -> NDArray[np.floating]:
    """Sweep all thresholds of each node: the F1 of calling the samples up to each one present.

    Args:
        ranked: the samples of N nodes.
        weights: of one node alone: (R, B) how often each resample holds each ranked sample; None: once.

    Returns:
        F1 (N, B), or (R, B) with weights; -1 where no threshold can lie behind the sample. Without positives none is
        above 0.

    >>> probs, present = np.array([[0.9], [0.5], [0.5]]), np.array([[True], [True], [False]])
    >>> f1_curve(Ranked.of(probs, present, np.ones_like(present))).round(3)
    array([[ 0.667, -1.   ,  0.8  ]])
    """
    times = True if weights is None else weights
    found, reached = np.cumsum(ranked.hits * times, axis=1), np.cumsum(ranked.counted * times, axis=1)
    f1 = np.multiply(2.0, found) / np.maximum(np.add(reached, found[:, -1:]), 1)
    return np.where(ranked.ends, f1, -1.0)
