"""Safe answers: the deepest nodes that are right often enough on held-out scores, or `unsure`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpa_hier.data.labels.table import Targets
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.metrics.ranking import Ranked
from hpa_hier.taxonomy import Taxonomy

UNSURE = "unsure"


@dataclass(frozen=True)
class SafeAnswers:
    """One answer for each sample."""

    column: NDArray[np.intp]  # (B,) the node's column; -1 for unsure
    confidence: Floats  # (B,) its probability; 0 for unsure


def safe_thresholds(probs: Floats, targets: Targets, precision: float) -> Floats:
    """Find what a node's probability must reach so that those that reach it are right often enough.

    The share that is right is counted as hits / (k + 1) among the k most likely samples: one error is assumed that
    was not seen, so that a node is never safe on a handful of samples.

    Args:
        probs: (B, N) held out from what they were fitted on.
        targets: (B, N); where not known, the sample does not count.
        precision: in (0, 1), the share that must be right.

    Returns:
        (N,) the lowest such thresholds; infinite where there is none.

    >>> probs, present = np.array([[0.9], [0.8], [0.7], [0.1]]), np.array([[True], [True], [True], [False]])
    >>> safe_thresholds(probs, Targets(present, np.ones_like(present)), 0.7).round(3)
    array([0.4])
    """
    ranked = Ranked.of(probs, targets.present, targets.known)
    share = np.cumsum(ranked.hits, axis=1) / (np.cumsum(ranked.counted, axis=1) + 1)
    enough = (share >= precision) & ranked.ends & ranked.counted
    last = enough.shape[1] - np.argmax(enough[:, ::-1], axis=1)
    found = enough.any(axis=1)
    return np.where(found, ranked.thresholds_at(np.where(found, last, 0)), np.inf)


def safe_answers(probs: Floats, thresholds: Floats, taxonomy: Taxonomy, present: Bools) -> SafeAnswers:
    """Choose for each sample the deepest present node that reaches its safe threshold; the likeliest of equally deep.

    Args:
        probs: (B, N) reconciled; columns as taxonomy.nodes.
        thresholds: (N,) from `safe_thresholds`.
        taxonomy: says how deep nodes are; a leaf is as deep as the deepest.
        present: (B, N) decisions; what they deny is no safe answer.
    """
    deepest = max(taxonomy.depth(node) for node in taxonomy.nodes)
    depth = np.array([deepest if taxonomy.is_leaf(node) else taxonomy.depth(node) for node in taxonomy.nodes])
    reached = (probs >= thresholds) & present
    reached[:, [taxonomy.column[node] for node in taxonomy.virtual]] = False
    rank = np.where(reached, depth + probs / 2, -1.0)  # depth first, then probability
    best, some = np.argmax(rank, axis=1), reached.any(axis=1)
    return SafeAnswers(np.where(some, best, -1), np.where(some, probs[np.arange(len(probs)), best], 0.0))
