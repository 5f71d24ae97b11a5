"""What training watches of the calibration part: the log loss after scaling, or F1 at each node's own best threshold.

The log loss fits one number where it is measured, so it can be believed. The F1 fits one for every node: on a few
images it is far too high, and only compares epochs with each other.
"""

from __future__ import annotations

import numpy as np

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.calibrate.temperature import Temperature
from hpa_hier.metrics.ranking import Ranked, f1_curve


def scaled_log_loss(logits: np.ndarray, present: np.ndarray, known: np.ndarray) -> float:
    """Return the mean log loss of the known entries after all logits are multiplied by the one number that suits best.

    Networks grow too sure of themselves before they stop to tell nodes apart better, and the ensemble's calibration
    takes the former back. So an epoch is judged by what calibration cannot give. 0 where nothing is known.

    Args:
        logits: (B, n).
        present: (B, n) bool.
        known: (B, n) bool; entries that are not known are left out.

    Source: Berta, Holzmüller, Jordan & Bach, Rethinking early stopping: refine, then calibrate, 2025.

    >>> sure, present = np.array([[9.0, -9.0], [9.0, 9.0]]), np.array([[1, 0], [1, 0]], bool)
    >>> round(scaled_log_loss(sure, present, np.ones((2, 2), bool)), 3)
    0.562
    """
    wide = logits.astype(np.float64)
    names = tuple(map(str, range(wide.shape[1])))
    return _log_loss(Temperature.fit(names, wide, Targets(present, known), 0.0).apply(wide), present, known)


def prevalence_log_loss(present: np.ndarray, known: np.ndarray, train: Targets) -> float:
    """Return the mean log loss of saying of every sample what share of the training samples has each node.

    A share of a samples among n is taken as (a + 1/2) / (n + 1), so that none is 0 or 1 (Krichevsky & Trofimov 1981).

    >>> none, all_known = np.zeros((1, 1), bool), np.ones((1, 1), bool)
    >>> round(prevalence_log_loss(none, all_known, Targets(none, all_known)), 3)
    0.288
    """
    positives, samples = (train.present & train.known).sum(axis=0), train.known.sum(axis=0)
    logits = np.log(positives + 0.5) - np.log(samples - positives + 0.5)
    return _log_loss(np.broadcast_to(logits, present.shape), present, known)


def _log_loss(logits: np.ndarray, present: np.ndarray, known: np.ndarray) -> float:
    losses = np.logaddexp(0.0, np.where(present, -logits, logits))[known]
    return float(losses.mean()) if losses.size else 0.0


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
