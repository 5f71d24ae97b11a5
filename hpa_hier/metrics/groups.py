"""Groups: which samples must be resampled, split or held out together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# no verdict from fewer independent samples: there intervals hold the true difference less often than they say
FEWEST_UNITS = 30


def number_units(groups: Sequence[str], *, by_name: bool = False) -> NDArray[np.int64]:
    """Number what belongs together: samples of one group share a number, a sample without a group has its own.

    Args:
        groups: B names; "" for none.
        by_name: number by the names' order, so that what is drawn for a group does not depend on the samples' order;
            else in the order in which groups appear.

    Returns:
        (B,) from 0.

    >>> number_units(["b", "", "b", "a"]).tolist(), number_units(["b", "", "b", "a"], by_name=True).tolist()
    ([0, 1, 0, 2], [2, 0, 2, 1])
    """
    names = [group or f"\0{i}" for i, group in enumerate(groups)]
    if by_name:
        return np.unique(names, return_inverse=True)[1].astype(np.int64)
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
