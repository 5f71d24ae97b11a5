"""Stratification: units with label counts are split into parts that each get their share of every label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# By hand: StratifiedGroupKFold knows one label a sample, and iterative-stratification knows no groups.
_MOVES = 4000  # at most; refining has settled long before on any table tried


def stratify(counts: np.ndarray, sizes: np.ndarray, shares: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """Assign units to parts, rarest label first, then move units while that brings label counts closer to the shares.

    Args:
        counts: (U, L) how many images of each of U units carry each of L labels; a unit is never divided.
        sizes: (U,) how many images each unit holds.
        shares: share of each of P parts, summing to 1.
        rng: decides between equals.

    Returns:
        (U,) int64, the part of each unit. No part is empty where there are P units, and every label that at least P
        units carry is in every part, as far as units that carry several labels allow.

    Source: iterative stratification, Sechidis, Tsoumakas & Vlahavas, ECML PKDD 2011, here on the label counts of
    groups, followed by moves that lower the squared relative deviation.
    """
    U = len(counts)
    order = rng.permutation(U)
    loads = np.column_stack([counts, sizes])[order].astype(np.float64)  # the last column is the part's size
    wanted = _wanted_counts(loads, np.asarray(shares, dtype=np.float64))
    part = np.empty(U, dtype=np.int64)
    part[order] = _fill_empty(loads, _refine(loads, wanted, _assign(loads, wanted)), len(shares))
    return part


def _wanted_counts(loads: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return (P, L) wanted counts: the shares, but at least 1 where enough units carry the label."""
    wanted = shares[:, None] * loads.sum(axis=0)
    spread = (loads > 0).sum(axis=0) >= len(shares)
    raised = np.where(spread & (wanted < 1), 1.0, wanted)
    largest = int(shares.argmax())
    raised[largest] -= (raised - wanted).sum(axis=0) - (raised[largest] - wanted[largest])
    return np.maximum(raised, 1e-9)


def _assign(loads: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Give each unit, rarest label first, to the part that still wants most of that label."""
    U = len(loads)
    part = np.full(U, -1, dtype=np.int64)
    need = wanted.copy()
    left = loads.sum(axis=0)  # of the units not assigned yet; whole numbers, so that subtracting stays exact
    while (free := part < 0).any():
        label = int(np.where(left > 0, left, np.inf).argmin())
        units = np.flatnonzero(free & (loads[:, label] > 0))
        left -= loads[units].sum(axis=0)
        for unit in units[np.argsort(-loads[units, label], kind="stable")]:
            chosen = int(np.lexsort((need[:, -1], need[:, label]))[-1])
            part[unit] = chosen
            need[chosen] -= loads[unit]
    return part


def _refine(loads: np.ndarray, wanted: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Move one unit at a time, the best first, while the squared relative deviation from `wanted` falls."""
    from scipy.sparse import csr_array  # takes a while to import, and answering needs none of it

    part = part.copy()
    U, P = len(loads), len(wanted)
    weight = 1.0 / wanted**2
    weight[:, -1] *= wanted.shape[1]  # a wrong size shifts the frequencies of all labels at once
    carried = csr_array(loads)  # a unit carries few of the labels, and each move looks at all units
    squares = (carried**2) @ weight.T  # (U, P)
    excess = np.stack([loads[part == p].sum(axis=0) for p in range(P)]) - wanted
    units = np.arange(U)
    for _ in range(_MOVES):
        pull = 2.0 * (carried @ (weight * excess).T)  # (U, P): slope of the deviation in each part
        change = squares + pull + (squares - pull)[units, part][:, None]
        change[units, part] = 0.0
        best = int(change.argmin())
        unit, target = divmod(best, P)
        if change[unit, target] > -1e-9:
            break
        excess[part[unit]] -= loads[unit]
        excess[target] += loads[unit]
        part[unit] = target
    return part


def _fill_empty(loads: np.ndarray, part: np.ndarray, parts: int) -> np.ndarray:
    """Move single units into parts that lack a label, where no other label is lost by it; and into empty parts."""
    part = part.copy()
    carriers = loads > 0
    held = np.stack([carriers[part == p].sum(axis=0) for p in range(parts)])  # (P, L) units
    everyone = loads.shape[1] - 1  # the column of sizes, which every unit carries
    for label in np.argsort(carriers.sum(axis=0), kind="stable"):
        if carriers[:, label].sum() < parts:
            continue
        for lacking in np.flatnonzero(held[:, label] == 0):
            for unit in np.flatnonzero(carriers[:, label]):
                at_risk = [everyone] if label == everyone else carriers[unit]
                if (held[part[unit], at_risk] > 1).all():
                    held[part[unit], carriers[unit]] -= 1
                    held[lacking, carriers[unit]] += 1
                    part[unit] = lacking
                    break
    return part


def deviation(present: np.ndarray, part: np.ndarray, parts: int) -> np.ndarray:
    """Return how far each label's frequency in the parts is from its frequency overall.

    Of `present` (B, L) bool and `part` (B,), from 0 to parts - 1: (L,) the largest over the parts of
    |frequency in the part / frequency overall - 1|; 0 for a label nobody has.

    >>> deviation(np.array([[True], [True], [True], [False]]), np.array([0, 0, 1, 1]), 2).round(3)
    array([0.333])
    """
    overall = present.mean(axis=0)
    inside = np.stack([present[part == p].mean(axis=0) if (part == p).any() else 0 * overall for p in range(parts)])
    return np.asarray(np.abs(inside / np.where(overall > 0, overall, 1.0) - (overall > 0)).max(axis=0))


def mean_of_worst_ten(deviations: np.ndarray) -> float:
    """Return the mean of the ten largest deviations."""
    return float(np.sort(deviations)[-10:].mean())
