"""Reconciliation: coherent probabilities, no node more likely than a node above it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from hpa_hier.metrics.arrays import Bools, Floats, Order

_SMALLEST = 1e-12  # probabilities are kept this far from 0 and 1 inside logarithms


@dataclass(frozen=True)
class Gate:
    """A top group that scales the leaves below it.

    Attributes:
        group: column of the group.
        leaves: columns of the leaves below it.
        gamma: 0 leaves them alone; 1 multiplies them by the group's probability.
    """

    group: int
    leaves: tuple[int, ...]
    gamma: float = 0.0


def lift(probs: Floats, order: Order) -> Floats:
    """Raise every group to the largest probability among its children.

    Args:
        probs: (B, N) in [0, 1]; columns as taxonomy.nodes.
        order: (group, children) columns, deepest group first, as taxonomy.bottom_up.

    Returns:
        (B, N); no node is more likely than a node above it, and leaf columns are bit-identical to the input's.

    Source: max constraint, Giunchiglia & Lukasiewicz, NeurIPS 2020.

    >>> lift(np.array([[0.2, 0.7]]), [(0, (1,))])
    array([[0.7, 0.7]])
    """
    lifted = probs.copy()
    for group, children in order:
        lifted[:, group] = np.maximum(lifted[:, group], lifted[:, children].max(axis=1))
    return lifted


def lower(probs: Floats, answered: Bools, order: Order) -> Floats:
    """Lower every node to the smallest probability among its parents, from the top down.

    Args:
        probs: (B, N) in [0, 1]; columns as taxonomy.nodes.
        answered: (N,) or (B, N); a group that nobody answers for lowers nothing but hands down what is above it.
        order: (group, children) columns, deepest group first, as taxonomy.bottom_up.

    Returns:
        (B, N); no answered node is more likely than an answered node above it.

    Source: top-down step for graphs (HTD-DAG), Notaro et al., BMC Bioinformatics 2017.

    >>> lower(np.array([[0.2, 0.7]]), np.array([True, True]), [(0, (1,))])
    array([[0.2, 0.2]])
    """
    limit = _limits(np.where(answered, probs, 1.0), order, chained=False)
    return np.minimum(probs, limit)


def chain(probs: Floats, answered: Bools, order: Order) -> Floats:
    """Take probabilities as conditional on a parent: multiply each by the smallest product among its parents.

    Args:
        probs: (B, N) in [0, 1]; columns as taxonomy.nodes.
        answered: (N,) or (B, N); a group that nobody answers for counts as certain given its parents.
        order: (group, children) columns, deepest group first, as taxonomy.bottom_up.

    Returns:
        (B, N); a node's probability is a product over its path.

    >>> chain(np.array([[0.5, 0.8]]), np.array([True, True]), [(0, (1,))])
    array([[0.5, 0.4]])
    """
    return probs * _limits(np.where(answered, probs, 1.0), order, chained=True)


def _limits(probs: Floats, order: Order, *, chained: bool) -> Floats:
    """What is above each node, (B, N): the smallest over its parents of their final probability; 1 at the top."""
    limit = np.ones_like(probs)
    for group, children in reversed(order):  # every group after all its parents
        above = probs[:, group] * limit[:, group] if chained else np.minimum(probs[:, group], limit[:, group])
        for child in children:
            limit[:, child] = np.minimum(limit[:, child], above)
    return limit


def gate(probs: Floats, gates: Sequence[Gate]) -> Floats:
    """Scale leaves by the probability of the top group above them, to the power gamma.

    A leaf below several top groups is scaled by the one that lowers it least: any of them is reason enough for it.

    Args:
        probs: (B, N) in [0, 1]; columns as taxonomy.nodes.
        gates: the top groups; leaves below none of them stay as they are.

    Returns:
        (B, N); groups unchanged, so `lift` comes after it.

    >>> gate(np.array([[0.5, 0.8]]), [Gate(group=0, leaves=(1,), gamma=1.0)])
    array([[0.5, 0.4]])
    """
    factor = np.zeros_like(probs)
    gated = sorted({leaf for one in gates for leaf in one.leaves})
    for one in gates:
        strength = np.power(np.ascontiguousarray(probs[:, one.group]), one.gamma)
        leaves = list(one.leaves)
        factor[:, leaves] = np.maximum(factor[:, leaves], strength[:, None])
    result = probs.copy()
    result[:, gated] *= factor[:, gated]
    return result


def fit_gamma(probs: Floats, present: Bools, known: Bools, one: Gate) -> float:
    """Find the gamma in [0, 1] that gives the leaves below a top group the smallest log loss.

    Args:
        probs: (B, N) in [0, 1], before reconciliation.
        present: (B, N) targets.
        known: (B, N); where False the sample does not count.
        one: the group and its leaves; its gamma is not read.

    Returns:
        gamma; 0, no gate, where a gate does not lower the loss.
    """
    leaves = list(one.leaves)
    counted = known[:, leaves]
    if not counted.any():
        return 0.0
    log_leaf = np.log(np.clip(probs[:, leaves], _SMALLEST, 1 - _SMALLEST))
    log_group = np.log(np.clip(probs[:, [one.group]], _SMALLEST, 1 - _SMALLEST))
    hits = present[:, leaves]

    def loss(gamma: float) -> float:
        log_p = log_leaf + gamma * log_group
        each = np.where(hits, -log_p, -np.log1p(-np.exp(log_p)))
        return float(each[counted].mean())

    found = minimize_scalar(loss, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-4})
    best = min((0.0, 1.0, float(found.x)), key=loss)  # the first of equals: no gate
    return best
