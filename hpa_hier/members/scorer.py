"""What every member can do, whatever it is made of."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Scorer(Protocol):
    """A member that can score samples."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """What it answers for: the columns of the logits."""

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return (B, n) logits of (B, C, S, S) images, or of (B, F) vectors, the same for one in any batch."""
