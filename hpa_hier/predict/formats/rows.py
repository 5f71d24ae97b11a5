"""Rows: what the tables say of some samples, and their probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hpa_hier.metrics.arrays import Floats

PLACES = 3  # most likely leaves that are named
COLUMNS = (
    "id",
    *(f"{what}_{rank}" for rank in range(1, PLACES + 1) for what in ("place", "prob")),
    *("labels", "groups", "safe", "warning", "file"),
)


@dataclass(frozen=True)
class Rows:
    """What the tables say of B samples.

    Attributes:
        columns: by the names of `COLUMNS`, B texts each, or B numbers for probabilities; NaN where there is none.
        submitted: for each sample, labels of the annotation table, joined as there.
        probs: (B, N) in [0, 1] of the nodes that can be an answer.
    """

    columns: Mapping[str, Sequence[str | float]]
    submitted: tuple[str, ...]
    probs: Floats

    def __len__(self) -> int:
        return len(self.submitted)

    @property
    def ids(self) -> tuple[str, ...]:
        """The B samples."""
        return tuple(map(str, self.columns["id"]))

    def take(self, rows: Sequence[int]) -> Rows:
        """Return some of the rows, in this order."""
        columns = {name: [values[row] for row in rows] for name, values in self.columns.items()}
        return Rows(columns, tuple(self.submitted[row] for row in rows), self.probs[list(rows)])

    def cells(self) -> Iterator[tuple[str, ...]]:
        """Yield each sample's cells as text, in the order of `COLUMNS`; probabilities with three decimals."""
        texts = [[one if isinstance(one, str) else _number(one) for one in self.columns[name]] for name in COLUMNS]
        return zip(*texts, strict=True)


def join_rows(parts: Sequence[Rows]) -> Rows:
    """Join rows, at least one part of them, in the order given."""
    if len(parts) == 1:
        return parts[0]
    columns = {name: [value for part in parts for value in part.columns[name]] for name in parts[0].columns}
    submitted = tuple(labels for part in parts for labels in part.submitted)
    return Rows(columns, submitted, np.concatenate([part.probs for part in parts]))


class Writer(Protocol):
    """What writes a table of probabilities, some samples at a time."""

    def add(self, rows: Rows) -> None:
        """Append samples."""

    def close(self) -> None:
        """Finish the file."""


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"
