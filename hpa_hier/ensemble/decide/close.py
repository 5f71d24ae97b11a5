"""Closure of decisions: a group is present where anything below it is."""

from __future__ import annotations

from hpa_hier.metrics.arrays import Bools, Floats, Order


def decide(probs: Floats, thresholds: Floats) -> Bools:
    """Say which nodes reach their threshold.

    Args:
        probs: (B, N) in [0, 1].
        thresholds: (N,).

    Returns:
        (B, N); True where the probability is at least the threshold.
    """
    decided: Bools = probs >= thresholds
    return decided


def close(present: Bools, order: Order) -> Bools:
    """Switch every group on that has a child which is on.

    The decisions for leaves stay as they are, so the result is coherent under any thresholds.

    Args:
        present: (B, N); columns as taxonomy.nodes.
        order: (group, children) columns, deepest group first, as taxonomy.bottom_up.

    Returns:
        (B, N); no node is on without every node above it.

    >>> import numpy as np
    >>> close(np.array([[False, True]]), [(0, (1,))])
    array([[ True,  True]])
    """
    closed = present.copy()
    for group, children in order:
        closed[:, group] |= closed[:, children].any(axis=1)
    return closed
