"""Macro F1 of a part at each node's own best threshold: what training watches."""

from __future__ import annotations

import numpy as np


def best_f1(logits: np.ndarray, present: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return each node's F1 at the threshold that is best for it.

    A fixed threshold of 0.5 would call every rare node absent for most of training and say nothing about progress.
    The figure flatters, since it is read where it was fitted; it only ever compares epochs with each other.

    Args:
        logits: (B, n).
        present: (B, n) bool.
        known: (B, n) bool; entries that are not known count for nothing.

    Returns:
        (n,) in [0, 1]; NaN where the part has no positive.

    >>> best_f1(np.array([[2.0], [1.0], [0.0]]), np.array([[1], [0], [1]], bool), np.ones((3, 1), bool))
    array([0.8])
    """
    order = np.argsort(-logits, axis=0, kind="stable")
    ranked = np.take_along_axis(logits, order, axis=0)
    hits = np.take_along_axis(present & known, order, axis=0).cumsum(axis=0)
    called = np.take_along_axis(known, order, axis=0).cumsum(axis=0)
    positives = hits[-1]
    f1 = 2 * hits / np.maximum(called + positives, 1)
    # A threshold lies between two different logits: a cut inside a run of equal ones cannot be had.
    last_of_run = np.ones_like(known)
    last_of_run[:-1] = ranked[:-1] != ranked[1:]
    best = np.where(last_of_run, f1, 0.0).max(axis=0)
    return np.where(positives > 0, best, np.nan)


def macro_f1(logits: np.ndarray, present: np.ndarray, known: np.ndarray) -> float:
    """Return the mean of `best_f1` over the nodes that have positives; 0 where none has."""
    per_node = best_f1(logits, present, known)
    return float(np.nanmean(per_node)) if np.isfinite(per_node).any() else 0.0
