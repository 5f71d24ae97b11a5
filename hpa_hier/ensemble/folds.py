"""Folds: samples assigned so that each fold has its share of rare labels, and an antibody stays in one.

The split of a data set (`data.split.stratify`) balances every label's count and costs seconds; here sorting is enough.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hpa_hier.metrics.arrays import Bools
from hpa_hier.metrics.groups import number_units


def assign_folds(present: Bools, units: Sequence[str] | None, number: int, seed: int = 0) -> NDArray[np.intp]:
    """Assign samples to folds.

    Units are sorted by their rarest label and go to the folds in turn, so that a label with as many units as there are
    folds is in about every fold.

    Args:
        present: (B, N) targets.
        units: B names of what must stay together, such as antibodies; "" is alone. None: all are alone.
        number: of folds.
        seed: of the order among equals.

    Returns:
        (B,) fold of each sample, 0 to number - 1.

    >>> fold = assign_folds(np.eye(4, dtype=bool), ["a", "a", "", "b"], 2)
    >>> fold[0] == fold[1], sorted(set(fold.tolist()))
    (np.True_, [0, 1])
    """
    names = units or [f"{row}" for row in range(len(present))]
    _, first, unit = np.unique(number_units(names, by_name=True), return_index=True, return_inverse=True)
    together = np.zeros((len(first), present.shape[1]), bool)
    np.logical_or.at(together, unit, present)
    counts = together.sum(axis=0)
    rarity = np.where(together, counts, len(first) + 1)
    rarest = np.where(together.any(axis=1), rarity.argmin(axis=1), -1)
    chance = np.random.default_rng(seed).permutation(len(first))
    order = np.lexsort((chance, rarest, rarity.min(axis=1)))
    fold = np.empty(len(first), np.intp)
    fold[order] = np.arange(len(first)) % number
    return np.asarray(fold[unit])
