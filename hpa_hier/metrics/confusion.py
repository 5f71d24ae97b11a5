"""Confusion: which label is called in place of which, where a sample may carry several."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hpa_hier.metrics.arrays import Bools, Floats

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Confusion:
    """What became of every true label and of every call of L labels; rows are true, columns are called."""

    found: Counts  # (L,) true and called
    swapped: Floats  # (L, L) the row's label was missed and the column's was called in its place
    only_missed: Floats  # (L,) missed, and nothing was called in its place
    only_added: Floats  # (L,) called, and nothing was missed that it could stand for
    certain: Counts  # (L, L) samples with these two mistakes and no other
    possible: Counts  # (L, L) samples with these two mistakes and more, where the partners cannot be told
    bare_missed: Counts  # (L,) missed in samples where nothing was added
    bare_added: Counts  # (L,) called in samples where nothing was missed

    @cached_property
    def positives(self) -> Counts:
        """(L,) samples that carry each label: a row's sum, with `found` and `only_missed`."""
        return np.asarray(np.rint(self.found + self.swapped.sum(axis=1) + self.only_missed), np.int64)

    @cached_property
    def called(self) -> Counts:
        """(L,) calls of each label: a column's sum, with `found` and `only_added`."""
        return np.asarray(np.rint(self.found + self.swapped.sum(axis=0) + self.only_added), np.int64)

    def matrix(self) -> Floats:
        """Return all in one: (L + 1, L + 1); the last row is "nothing was missed", the last column "nothing called".

        Row i sums to the positives of label i, column j to the calls of label j.
        """
        edge = np.append(self.only_added, 0.0)[None]
        return np.vstack([np.column_stack([np.diag(self.found) + self.swapped, self.only_missed]), edge])

    def order_alike(self) -> NDArray[np.intp]:
        """Return the labels (L,) in an order that has those side by side that are taken for each other.

        Average linkage over 1 − the mean share of either label that is taken for the other; leaves of the dendrogram
        in the order of least distance between neighbours.

        Source: Bar-Joseph, Gifford & Jaakkola, Bioinformatics 2001, as scipy has it.
        """
        if len(self.found) < 3:
            return np.arange(len(self.found))
        from scipy.cluster import hierarchy
        from scipy.spatial.distance import squareform

        share = self.swapped / np.maximum(self.positives, 1)[:, None]
        apart = 1 - (share + share.T) / 2
        np.fill_diagonal(apart, 0)
        tree = hierarchy.linkage(squareform(apart, checks=False), "average", optimal_ordering=True)
        return np.asarray(hierarchy.leaves_list(tree), dtype=np.intp)


def confuse(present: Bools, targets: Bools, known: Bools) -> Confusion:
    """Count which labels are missed and which are called in their place.

    With one label a sample this is the usual confusion matrix. With several, a label that is both true and called is
    found and takes no part in any mistake. Of a sample with m missed and a added labels, min(m, a) are swaps: nobody
    can say which missed label became which added one, so every pair gets the same share, min(m, a) / (m · a), as the
    mean over all ways to pair them off. What is left over is `only_missed`, (m − a) / m of each missed label where
    m > a, or `only_added`, (a − m) / a of each added one where a > m. So each true label counts once in its row and
    each call once in its column. What the annotation does not tell is left out.

    Heydarian et al. (MLCM: Multi-Label Confusion Matrix, IEEE Access 2022) count each pair whole instead, and where
    nothing was missed they charge every true label, found or not, with each added one; their rows sum to more than the
    positives. These are shares of the positives.

    Args:
        present: (B, L) decisions.
        targets: (B, L) annotation.
        known: (B, L) whether the annotation tells.

    >>> targets = np.array([[True, False, False], [True, True, False]])
    >>> called = np.array([[False, True, False], [False, False, True]])
    >>> confuse(called, targets, np.ones_like(called)).matrix()
    array([[0. , 1. , 0.5, 0.5],
           [0. , 0. , 0.5, 0.5],
           [0. , 0. , 0. , 0. ],
           [0. , 0. , 0. , 0. ]])
    """
    missed, added = targets & ~present & known, present & ~targets & known
    misses, additions = missed.sum(axis=1), added.sum(axis=1)
    swaps = np.minimum(misses, additions)
    pair = swaps / np.maximum(misses * additions, 1)
    alone = (misses == 1) & (additions == 1)
    several = (swaps > 0) & ~alone
    return Confusion(
        found=(present & targets & known).sum(axis=0),
        swapped=_count_pairs(missed * pair[:, None], added, swaps > 0),
        only_missed=((misses - swaps) / np.maximum(misses, 1)) @ missed,
        only_added=((additions - swaps) / np.maximum(additions, 1)) @ added,
        certain=_count_pairs(missed, added, alone).astype(np.int64),
        possible=_count_pairs(missed, added, several).astype(np.int64),
        bare_missed=missed[additions == 0].sum(axis=0),
        bare_added=added[misses == 0].sum(axis=0),
    )


def _count_pairs(missed: NDArray[np.generic], added: Bools, rows: Bools) -> Floats:
    return np.asarray(missed[rows].astype(np.float64).T @ added[rows].astype(np.float64))
