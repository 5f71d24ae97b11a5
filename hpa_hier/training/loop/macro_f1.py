"""Macro and sample F1 of a part at each node's own best threshold: what training watches.

A fixed threshold of 0.5 would call every rare node absent for most of training, and say nothing about progress. These
values are too high, as thresholds are fitted where they are measured; they only compare epochs with each other.
"""

from __future__ import annotations

import numpy as np

from hpa_hier.metrics.ranking import Ranked, f1_curve


def best_f1(logits: np.ndarray, present: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return each node's F1 at the threshold that is best for it.

    Args:
        logits: (B, n).
        present: (B, n) bool.
        known: (B, n) bool; entries that are not known are left out.

    Returns:
        (n,) in [0, 1]; NaN where the part has no positive.

    >>> best_f1(np.array([[2.0], [1.0], [0.0]]), np.array([[1], [0], [1]], bool), np.ones((3, 1), bool))
    array([0.8])
    """
    with_positives, ranked = _rank(logits, present, known)
    found = np.full(logits.shape[1], np.nan)
    found[with_positives] = f1_curve(ranked).max(axis=1)
    return found


def _rank(logits: np.ndarray, present: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, Ranked]:
    """Return the columns with positives, of which a tree of thousands of nodes has few, and their ranking."""
    columns = np.flatnonzero((present & known).any(axis=0))
    return columns, Ranked.of(logits[:, columns], present[:, columns], known[:, columns], ordered=True)


def sample_f1(logits: np.ndarray, present: np.ndarray, known: np.ndarray) -> float:
    """Return the mean over images of the F1 of their nodes, each called at its own best threshold.

    Nodes without a positive are never called; an image that has no label, and gets none, is left out. 0 where none has.
    Arguments as `best_f1`.

    >>> sample_f1(np.array([[2.0, 1], [1, 2]]), np.array([[1, 0], [1, 1]], bool), np.ones((2, 2), bool))
    1.0
    """
    with_positives, ranked = _rank(logits, present, known)
    best = np.full(logits.shape[1], np.inf)
    best[with_positives] = np.take_along_axis(ranked.probs, f1_curve(ranked).argmax(axis=1)[:, None], axis=1)[:, 0]
    called, truth = (logits >= best) & known, present & known
    both = called.sum(axis=1) + truth.sum(axis=1)
    counts = both > 0
    return float((2 * (called & truth).sum(axis=1)[counts] / both[counts]).mean()) if counts.any() else 0.0


def macro_f1(logits: np.ndarray, present: np.ndarray, known: np.ndarray) -> float:
    """Return the mean of `best_f1` over the nodes that have positives; 0 where none has.

    >>> present = np.array([[1, 1], [0, 0]], bool)
    >>> round(macro_f1(np.array([[2.0, 0.0], [1.0, 1.0]]), present, np.ones((2, 2), bool)), 3)
    0.833
    """
    per_node = best_f1(logits, present, known)
    return float(np.nanmean(per_node)) if np.isfinite(per_node).any() else 0.0
