"""Draw: the test part is a random sample of groups, corrected only where a class would be missing."""

from __future__ import annotations

import numpy as np

_REST, _TEST = 0, 1  # sides


def draw_test_part(
    carried: np.ndarray, sizes: np.ndarray, share: float, others: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw units at random until the test part has its share, then exchange units only for classes that are missing.

    A class that `others` + 1 units carry has at least one of them in the test part and `others` outside; of a rarer
    class at least one is outside, so that it can be learnt, unless the test part would be empty. A unit that is
    exchanged is drawn among those that help and that no other class needs where they are. Label counts of the test part
    then vary as those of a random sample do: nothing fitted on the other parts knows them.

    Args:
        carried: (U, L) bool, which of L labels each of U units carries; a unit, such as an antibody, stays whole.
        sizes: (U,) how many images each unit holds.
        share: of all images, above 0 and below 1.
        others: parts that the rest is divided into.
        rng: draws the units; the same units in another order are another draw.

    Returns:
        (U,) bool, which units are the test part.

    >>> one_label_each = np.repeat(np.eye(2, dtype=bool), [17, 3], axis=0)
    >>> test = draw_test_part(one_label_each, np.ones(20), 0.2, 2, np.random.default_rng(0))
    >>> (test[:, None] & one_label_each).sum(axis=0)
    array([3, 1])
    """
    carried = np.column_stack([carried, np.ones(len(sizes), bool)])  # the last column: neither side may be empty
    side = _draw_to_size(sizes, share, rng)
    units = carried.sum(axis=0)
    least = np.stack([np.clip(units - 1, np.minimum(units, 1), others), units > others])  # (2, L + 1) units
    classes = least * (np.arange(len(units)) < len(units) - 1)  # while classes are exchanged, a side may become empty
    for label in np.argsort(units[:-1], kind="stable"):
        _supply(carried, side, classes, label, rng)
    _supply(carried, side, least, -1, rng)
    _restore_size(carried, sizes, share, side, least, rng)
    if not (side == _TEST).any():  # each unit has a class of its own, which is tested or learnt
        side = _draw_to_size(sizes, share, rng)
    return np.asarray(side == _TEST)


def _draw_to_size(sizes: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return (U,) sides: units drawn in random order, each kept if it brings the size closer to the share."""
    side = np.full(len(sizes), _REST)
    room = share * sizes.sum()
    for unit in rng.permutation(len(sizes)):
        if sizes[unit] < 2 * room:
            side[unit], room = _TEST, room - sizes[unit]
    return side


def _movable(carried: np.ndarray, side: np.ndarray, least: np.ndarray, target: int) -> np.ndarray:
    """Return (U,) bool, which units of the other side can move to `target` without a class falling below its least."""
    there = side != target
    scarce = (carried & there[:, None]).sum(axis=0) <= least[1 - target]
    return np.asarray(there & ~(carried & scarce).any(axis=1))


def _supply(carried: np.ndarray, side: np.ndarray, least: np.ndarray, label: int, rng: np.random.Generator) -> None:
    """Move random units that help into a side, in place, until it has the least units of a label."""
    for target in (_TEST, _REST):
        for _ in range(least[target, label] - (carried[:, label] & (side == target)).sum()):
            helpful = _movable(carried, side, least, target) & carried[:, label]
            if helpful.any():
                side[rng.choice(np.flatnonzero(helpful))] = target


def _restore_size(
    carried: np.ndarray,
    sizes: np.ndarray,
    share: float,
    side: np.ndarray,
    least: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Move random units that no class needs where they are, in place, while that brings the size closer."""
    while True:
        excess = sizes[side == _TEST].sum() - share * sizes.sum()
        target = _REST if excess > 0 else _TEST
        closer = _movable(carried, side, least, target) & (sizes < 2 * abs(excess) - 1e-9)
        if not closer.any():
            return
        side[rng.choice(np.flatnonzero(closer))] = target
