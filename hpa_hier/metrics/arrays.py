"""Types of arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Order = Sequence[tuple[int, tuple[int, ...]]]  # (group, its children) as columns, deepest group first
