"""The learning rate's course over a training."""

from __future__ import annotations

import math

WARM_UP = 0.25  # share of the steps in which the rate rises
START, END = 1 / 25, 1 / 10_000  # of the largest rate


def one_cycle(step: int, steps: int) -> float:
    """Return the share of the largest learning rate at a step: up along a cosine, then down along a longer one.

    Source: Smith & Topin, Super-convergence, 2018, with cosines for lines.

    >>> [round(one_cycle(step, 100), 2) for step in (0, 25, 100)]
    [0.04, 1.0, 0.0]
    """
    top = max(1.0, WARM_UP * steps)
    if step < top:
        return _cosine(START, 1.0, step / top)
    return _cosine(1.0, END, min(1.0, (step - top) / max(1.0, steps - top)))


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2
