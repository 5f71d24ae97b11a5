"""Macro and sample F1 of a part at each node's own best threshold: what training watches."""

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
    some, f1, _ = _cuts(logits, present, known)
    found = np.full(logits.shape[1], np.nan)
    found[some] = f1.max(axis=1)
    return found


def _cuts(logits: np.ndarray, present: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the columns with positives, the F1 of calling the first 1, 2, … images of each, and the ranked logits.

    (k,), (k, B) and (k, B).
    """
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
    return some, np.where(last_of_run, f1, 0.0), -ranked


def sample_f1(logits: np.ndarray, present: np.ndarray, known: np.ndarray) -> float:
    """Return the mean over images of the F1 of their nodes, each called at its own best threshold.

    Nodes without a positive are never called; an image that has no label, and is given none, is left out.

    Args:
        logits: (B, n).
        present: (B, n) bool.
        known: (B, n) bool.

    Returns:
        In [0, 1]; 0 where no image has a label.

    >>> sample_f1(np.array([[2.0, 1], [1, 2]]), np.array([[1, 0], [1, 1]], bool), np.ones((2, 2), bool))
    1.0
    """
    some, f1, ranked = _cuts(logits, present, known)
    best = np.full(logits.shape[1], np.inf)
    best[some] = np.take_along_axis(ranked, f1.argmax(axis=1)[:, None], axis=1)[:, 0]
    called = (logits >= best) & known
    truth = present & known
    both = called.sum(axis=1) + truth.sum(axis=1)
    told = both > 0
    return float((2 * (called & truth).sum(axis=1)[told] / both[told]).mean()) if told.any() else 0.0


def macro_f1(logits: np.ndarray, present: np.ndarray, known: np.ndarray) -> float:
    """Return the mean of `best_f1` over the nodes that have positives; 0 where none has."""
    per_node = best_f1(logits, present, known)
    return float(np.nanmean(per_node)) if np.isfinite(per_node).any() else 0.0
