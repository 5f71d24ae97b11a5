"""Told apart: the nodes whose held-out probabilities rank the samples that carry them better than chance does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpa_hier.data.labels.table import Targets
from hpa_hier.metrics.arrays import Bools, Floats

FALSE_SHARE = 0.1  # of the nodes found, so many at most are expected to be no better than chance


def find_told_apart(p_values: Floats, share: float = FALSE_SHARE) -> Bools:
    """Find the nodes that are ranked better than chance, (N,).

    Where most nodes are, a node needs little evidence of its own; where none is, all are left out with a probability of
    1 - share: an ensemble that has learned nothing should not call the one node in ten that looks as if it had.

    Args:
        p_values: (N,) of each node; NaN where it cannot be tested, which finds nothing.
        share: of those found, how many may be found wrongly, on average.

    Source: Benjamini & Hochberg, Controlling the false discovery rate, JRSS B 1995.

    >>> find_told_apart(np.array([0.001, 0.06, 0.9, np.nan])).tolist()
    [True, True, False, False]
    >>> find_told_apart(np.array([0.5, 0.06, 0.9, np.nan])).tolist()
    [False, False, False, False]
    """
    tested = np.isfinite(p_values)
    ordered = np.sort(p_values[tested])
    enough = ordered[ordered <= share * np.arange(1, len(ordered) + 1) / max(len(ordered), 1)]
    return tested & (p_values <= enough[-1] if len(enough) else False)


def ranking_p_values(probs: Floats, targets: Targets, folds: NDArray[np.intp] | None = None) -> Floats:
    """Test each node for ranking the samples that carry it above the others.

    Samples are compared within their fold only, since probabilities of different fits differ by more than what they say
    of a sample: a class's one positive is held out from a fit that has never seen the class.

    Args:
        probs: (B, N) held out.
        targets: (B, N); where not known, the sample does not count.
        folds: (B,) which fit a sample's probabilities are from; None: all are from one.

    Returns:
        (N,) one-sided p-values, by the normal approximation; NaN where no fold has samples with and without the node.

    Source: Wilcoxon's rank sum with ties, combined over folds with van Elteren's weights (1960).

    >>> rising = np.linspace(0, 1, 20)[:, None]
    >>> both, carried = np.hstack([rising, 1 - rising]), rising.repeat(2, 1) > 0.7
    >>> ranking_p_values(both, Targets(carried, np.ones_like(carried))).round(3)
    array([0., 1.])
    """
    from scipy import stats  # takes half a second to import, and answering needs none of it

    fold = np.zeros(len(probs), np.intp) if folds is None else folds
    excess, variance = np.zeros(probs.shape[1]), np.zeros(probs.shape[1])
    for one in np.unique(fold):
        rows = fold == one
        known, carried = targets.known[rows], targets.present[rows] & targets.known[rows]
        ranks = stats.rankdata(np.where(known, probs[rows], np.nan), axis=0, nan_policy="omit")
        samples, positives = known.sum(axis=0), carried.sum(axis=0)
        apart = np.where(known, ranks - (samples + 1) / 2, 0.0)
        share = positives * (samples - positives) / np.maximum(samples * (samples - 1), 1)
        excess += np.where(carried, apart, 0.0).sum(axis=0) / (samples + 1)
        variance += share * (apart**2).sum(axis=0) / (samples + 1) ** 2
    tested = variance > 0
    return np.where(tested, stats.norm.sf(excess / np.sqrt(np.where(tested, variance, 1.0))), np.nan)
