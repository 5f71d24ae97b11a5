"""Groups: which samples must be resampled, split or held out together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def number_units(groups: Sequence[str]) -> np.ndarray:
    """Return (B,) int64 unit numbers: samples of one group share one, a sample without a group has its own."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(group or f"\0{i}", len(numbers)) for i, group in enumerate(groups)], np.int64)
