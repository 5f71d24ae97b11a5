"""Shelves: which sample is shown for which class, as missed, called wrongly or found; each sample at most once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hpa_hier.metrics.arrays import Bools, Floats

Kind = Literal["missed", "wrong", "found"]
KINDS: tuple[Kind, ...] = ("missed", "wrong", "found")  # mistakes first: they tell more


@dataclass(frozen=True)
class Place:
    """One sample's place on a shelf."""

    label: int  # column of the class
    kind: Kind
    row: int  # of the sample


def candidates(probs: Floats, present: Bools, targets: Bools, known: Bools) -> dict[tuple[int, Kind], NDArray[np.intp]]:
    """List the samples that could be shown for each class, the most telling first.

    Of the missed, those with the least probability of the class come first: the surest mistakes. Of the wrongly called,
    those with the most. Of the found, those without any mistake, and among these those with the most.

    Args:
        probs: (B, L) in [0, 1].
        present: (B, L) decisions.
        targets: (B, L) annotation.
        known: (B, L) whether the annotation tells.

    Returns:
        (column, kind) → rows of samples; none of what is empty.
    """
    masks: dict[Kind, Bools] = {
        "missed": targets & ~present & known,
        "wrong": present & ~targets & known,
        "found": present & targets & known,
    }
    flawed = np.asarray((masks["missed"] | masks["wrong"]).any(axis=1))
    found: dict[tuple[int, Kind], NDArray[np.intp]] = {}
    for kind in KINDS:
        for label in np.flatnonzero(masks[kind].any(axis=0)).tolist():
            rows = np.flatnonzero(masks[kind][:, label])
            sure = probs[rows, label] if kind == "missed" else -probs[rows, label]
            keys = (sure, flawed[rows]) if kind == "found" else (sure,)
            found[label, kind] = rows[np.lexsort(keys)]
    return found


def fill_shelves(found: dict[tuple[int, Kind], NDArray[np.intp]], number: int) -> Iterator[Place]:
    """Give every sample one place, in rounds: each shelf takes its most telling sample that is left.

    In a round the missed come first, then the wrongly called, then the found; within a kind the class with fewest
    candidates, which has the least to choose from. So where pictures must be few, the first ones of every class are
    among them.

    Args:
        found: of `candidates`.
        number: of samples on each shelf, at most.
    """
    turn = sorted(found, key=lambda key: (KINDS.index(key[1]), len(found[key]), key[0]))
    left = {key: iter(found[key].tolist()) for key in turn}
    taken: set[int] = set()
    for _ in range(number):
        for key in turn:
            row = next((row for row in left[key] if row not in taken), None)
            if row is not None:
                taken.add(row)
                yield Place(*key, row)
