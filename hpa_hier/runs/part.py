"""One part of a run's split, with the targets of some nodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Part:
    """Samples of one part with a member's targets."""

    rows: np.ndarray  # (B,) int64 rows of the pack
    present: np.ndarray  # (B, n) bool, columns as the member's nodes
    known: np.ndarray  # (B, n) bool

    def __len__(self) -> int:
        return len(self.rows)
