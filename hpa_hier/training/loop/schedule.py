"""The learning rate's course over a training."""

from __future__ import annotations

import math
from collections.abc import Callable

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


def warmup_cosine(step: int, steps: int, warmup: float) -> float:
    """Return the share of the largest learning rate at a step: up along a line, then down to nothing along a cosine.

    Args:
        step: from 0.
        steps: of the whole training.
        warmup: share of the steps in which the rate rises.

    Source: Loshchilov & Hutter, SGDR, ICLR 2017, without restarts; the line: Goyal et al., 2017.

    >>> [round(warmup_cosine(step, 100, 0.1), 2) for step in (0, 9, 55, 100)]
    [0.1, 1.0, 0.5, 0.0]
    """
    rising = warmup * steps
    if step + 1 <= rising:
        return (step + 1) / rising
    return _cosine(1.0, 0.0, min(1.0, (step - rising) / max(1.0, steps - rising)))


def lr_schedule(name: str, steps: int, warmup: float = 0.05, frozen_steps: int = 0) -> Callable[[int], float]:
    """Return a learning rate's course: from a step to the share of the largest rate.

    Args:
        name: one_cycle, warmup_cosine or constant.
        steps: of the whole training.
        warmup: warmup_cosine: share of the steps in which the rate rises.
        frozen_steps: first steps, in which the rate is 0 whatever the course says.
    """
    courses: dict[str, Callable[[int], float]] = {
        "one_cycle": lambda step: one_cycle(step, steps),
        "warmup_cosine": lambda step: warmup_cosine(step, steps, warmup),
        "constant": lambda _: 1.0,
    }
    course = courses[name]
    return lambda step: course(step) if step >= frozen_steps else 0.0


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2
