"""Learning-rate schedules: which share of its largest rate each step gets."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

WARM_UP = 0.25  # one_cycle: share of the steps in which the rate rises
START, END = 1 / 25, 1 / 10_000  # one_cycle: shares of the largest rate


def lr_schedule(optimizer: Optimizer, name: str, steps: int, warmup: float = 0.05) -> LRScheduler | None:
    """Return the learning-rate schedule of an optimiser, to be stepped after each of its steps.

    Args:
        optimizer: the rate of each of its parameter groups is the largest that the group gets.
        name: one_cycle (up along a cosine, then down along a longer one), warmup_cosine or constant.
        steps: optimiser steps of the whole training.
        warmup: warmup_cosine: share of the steps in which the rate rises, in [0, 1).

    Returns:
        The schedule; None where the rates are constant.

    Source: one_cycle: Smith & Topin, Super-convergence, 2018, with cosines instead of lines.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = lr_schedule(optimizer, "one_cycle", steps=4)
    >>> rates = []
    >>> for _ in range(4):
    ...     rates += schedule.get_last_lr()
    ...     optimizer.step()
    ...     schedule.step()
    >>> [round(rate, 2) for rate in rates]
    [0.04, 1.0, 0.75, 0.25]
    """
    if name == "constant":
        return None
    if name == "one_cycle":
        peak = max(1.0, WARM_UP * steps)
        return OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=steps + 1,  # torch reaches the end at its last step, and no step is to be taken at the end
            pct_start=(peak + 1) / (steps + 1),
            cycle_momentum=False,
            div_factor=1 / START,
            final_div_factor=START / END,
        )
    # Not SequentialLR of LinearLR and CosineAnnealingLR: they count the warm-up in whole steps, and each rate from the
    # last one, so that rounding adds up.
    return LambdaLR(optimizer, lambda step: warmup_cosine(step, steps, warmup))


def warmup_cosine(step: int, steps: int, warmup: float) -> float:
    """Return the share of the largest learning rate at a step: up along a line, then down to 0 along a cosine.

    Args:
        step: from 0.
        steps: of the whole training.
        warmup: share of the steps in which the rate rises, in [0, 1).

    Source: Loshchilov & Hutter, SGDR, ICLR 2017, without restarts; the line: Goyal et al., 2017.

    >>> [round(warmup_cosine(step, 100, 0.1), 2) for step in (0, 9, 55, 100)]
    [0.1, 1.0, 0.5, 0.0]
    """
    rising = warmup * steps
    if step + 1 <= rising:
        return (step + 1) / rising
    return (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1.0, steps - rising)))) / 2
