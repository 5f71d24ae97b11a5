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
    found = np.full(logits.shape[1], np.nan)
    some = np.flatnonzero((present & known).any(axis=0))  # in a tree of thousands of nodes, most have no positive
    # A node's samples side by side: sorting and summing are several times faster so.
    told = np.ascontiguousarray(known[:, some].T)
    on = np.ascontiguousarray((present & known)[:, some].T)
    values = np.ascontiguousarray(-logits[:, some].T)
    order = np.argsort(values, axis=1)
    ranked = np.take_along_axis(values, order, axis=1)
    hits = np.take_along_axis(on, order, axis=1).cumsum(axis=1, dtype=np.int32)
    called = np.take_along_axis(told, order, axis=1).cumsum(axis=1, dtype=np.int32)
    f1 = 2 * hits / np.maximum(called + hits[:, -1:], 1)
    # A threshold lies between two different logits: a cut inside a run of equal ones cannot be had.
    last_of_run = np.ones_like(told)
    last_of_run[:, :-1] = ranked[:, :-1] != ranked[:, 1:]
    found[some] = np.where(last_of_run, f1, 0.0).max(axis=1)
    return found


def macro_f1(logits: np.ndarray, present: np.ndarray, known: np.ndarray) -> float:
    """Return the mean of `best_f1` over the nodes that have positives; 0 where none has."""
    per_node = best_f1(logits, present, known)
    return float(np.nanmean(per_node)) if np.isfinite(per_node).any() else 0.0
