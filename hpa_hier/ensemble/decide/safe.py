"""Safe answers: for each sample the deepest node that is right often enough on held-out scores, or `unsure`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpa_hier.data.labels.table import Targets
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.metrics.ranking import Ranked
from hpa_hier.taxonomy import Taxonomy

UNSURE: Final = "unsure"
Candidate: TypeAlias = Literal["likeliest", "reaching"]
LIKELIEST: Final = "likeliest"  # a depth's candidate is its likeliest present node
REACHING: Final = "reaching"  # of older ensembles: its likeliest present node among those that reach their threshold


@dataclass(frozen=True)
class SafeAnswers:
    """One answer for each sample."""

    column: NDArray[np.intp]  # (B,) the node's column; -1 for unsure
    confidence: Floats  # (B,) its probability; 0 for unsure


@dataclass(frozen=True)
class SafeRule:
    """What a sample is safely said to be: its candidate at the deepest depth where this one reaches its threshold.

    Attributes:
        thresholds: (N,) what a node's probability must reach; infinite where the node is never a safe answer.
        candidate: `LIKELIEST`, or `REACHING` as ensembles had it that were fitted before this was a choice.
    """

    thresholds: Floats
    candidate: Candidate = LIKELIEST

    @classmethod
    def fit(cls, probs: Floats, targets: Targets, present: Bools, taxonomy: Taxonomy, precision: float) -> SafeRule:
        """Find the lowest thresholds whose answers are right often enough, deepest nodes first.

        A node's threshold is fitted on the samples that it would answer for, and on no others: those without a deeper
        answer, where it is the candidate. So `precision` holds among the answers, and not only among all samples that
        are as likely. Each sample has one candidate at a depth, so the thresholds of a depth do not depend on each
        other.

        Args:
            probs: (B, N) reconciled, held out from what they were fitted on.
            targets: (B, N); where not known, the sample does not count.
            present: (B, N) closed decisions; what they deny is no safe answer.
            taxonomy: its nodes are the columns.
            precision: in (0, 1), the share that must be right.

        Source: selective classification, Geifman & El-Yaniv, NeurIPS 2017.

        >>> tree = Taxonomy.from_text("{taxonomy: t, levels: {leaf: leaves}, tree: {A: {B: {label: 1}}}}")
        >>> probs = np.array([[0.9, 0.8], [0.9, 0.7], [0.9, 0.6], [0.8, 0.2], [0.7, 0.1]])
        >>> present = np.array([[True, True], [True, True], [True, False], [True, False], [True, False]])
        >>> rule = SafeRule.fit(probs, Targets(present, np.ones_like(present)), probs > 0.15, tree, 0.5)
        >>> rule.thresholds.round(2)
        array([0.35, 0.4 ])
        """
        thresholds, left = np.full(probs.shape[1], np.inf), np.ones(len(probs), bool)
        for columns in columns_by_depth(taxonomy):
            column, confidence = _candidates(probs, present, columns)
            known = targets.known[:, columns] & (left[:, None] & (column[:, None] == columns))
            found = Targets(targets.present[:, columns], known)
            thresholds[columns] = lowest_thresholds(probs[:, columns], found, precision)
            left &= confidence < np.where(column < 0, np.inf, thresholds[column])
        return cls(thresholds)

    def answer(self, probs: Floats, present: Bools, taxonomy: Taxonomy) -> SafeAnswers:
        """Answer for each sample.

        Args:
            probs: (B, N) reconciled; columns as taxonomy.nodes.
            present: (B, N) closed decisions; what they deny is no safe answer.
            taxonomy: says how deep nodes are; a leaf is as deep as the deepest.
        """
        offered = present & (probs >= self.thresholds) if self.candidate == REACHING else present
        answer, confidence = np.full(len(probs), -1), np.zeros(len(probs))
        for columns in columns_by_depth(taxonomy):
            column, prob = _candidates(probs, offered, columns)
            safe = (answer < 0) & (column >= 0) & (prob >= self.thresholds[column])
            answer[safe], confidence[safe] = column[safe], prob[safe]
        return SafeAnswers(answer, confidence)


def columns_by_depth(taxonomy: Taxonomy) -> Iterator[NDArray[np.intp]]:
    """Yield the columns of the nodes of each depth, deepest first; a leaf is as deep as the deepest."""
    nodes = taxonomy.without_virtual.nodes
    deepest = max(map(taxonomy.depth, nodes))
    depth = np.array([deepest if taxonomy.is_leaf(node) else taxonomy.depth(node) for node in nodes])
    columns = np.array([taxonomy.column[node] for node in nodes])
    for one in sorted(set(depth.tolist()), reverse=True):
        yield columns[depth == one]


def _candidates(probs: Floats, offered: Bools, columns: NDArray[np.intp]) -> tuple[NDArray[np.intp], Floats]:
    """Return the likeliest of the offered columns for each sample, -1 where none is, and its probability."""
    shown = np.where(offered[:, columns], probs[:, columns], -1.0)
    best = np.argmax(shown, axis=1)
    confidence = shown[np.arange(len(probs)), best]
    return np.where(confidence >= 0, columns[best], -1), confidence


def lowest_thresholds(probs: Floats, targets: Targets, precision: float) -> Floats:
    """Return the lowest thresholds above which each node is right often enough.

    The share that is right is counted as hits / (k + 1) among the k most likely samples: one error is assumed that
    was not seen, so that a node is never safe on a handful of samples.

    Args:
        probs: (B, N).
        targets: (B, N); where not known, the sample does not count.
        precision: in (0, 1), the share that must be right.

    Returns:
        (N,); infinite where there is none.

    >>> probs, present = np.array([[0.9], [0.8], [0.7], [0.1]]), np.array([[True], [True], [True], [False]])
    >>> lowest_thresholds(probs, Targets(present, np.ones_like(present)), 0.7).round(3)
    array([0.4])
    """
    ranked = Ranked.of(probs, targets.present, targets.known)
    counted = np.cumsum(ranked.counted, axis=1)
    enough = (np.cumsum(ranked.hits, axis=1) >= precision * (counted + 1)) & ranked.ends
    most = np.where(enough, counted, -1).max(axis=1, initial=-1)
    ranks = np.argmax(enough & (counted == most[:, None]), axis=1) + 1  # the first, for what follows is not counted
    return np.where(most > 0, ranked.thresholds_at(np.where(most > 0, ranks, 0)), np.inf)
