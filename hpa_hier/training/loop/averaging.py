"""The moving average of the weights: where training keeps one, it is what is watched and kept."""

from __future__ import annotations

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from hpa_hier.models.network import Network


class MovingAverage(WeightAveraging):
    """Lets an average follow the weights after every step; the average is what the calibration part is scored with.

    It starts at the untrained weights. Its decay rises with the steps, as an average over more steps than there have
    been would hold on to those. Comes before the callbacks that read the watched weights.

    Args:
        decay: in (0, 1).
    """

    def __init__(self, decay: float) -> None:
        # Steps are the trainer's, as reading the average's own would have a GPU's step waited for.
        super().__init__(
            multi_avg_fn=lambda averages, weights, _: follow(averages, weights, self._trainer.global_step, decay)
        )

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Copy the untrained weights to where the network will be trained."""
        self._trainer, self._device = trainer, trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)
        assert self._average_model is not None
        # On the processor; at 0, the first update would forget the untrained weights.
        self._average_model.n_averaged = torch.ones((), dtype=torch.long)


def follow(averages: list[Tensor], weights: list[Tensor], steps: int, decay: float) -> None:
    """Move averages towards weights in place: average × d + weight × (1 − d), where d is at most (1 + t) / (10 + t).

    Args:
        averages: of one type; whole numbers, such as a batch norm's count of batches, are copied.
        weights: likewise, in the same order.
        steps: t, taken so far.
        decay: in (0, 1).

    >>> average = [torch.tensor([1.0])]
    >>> follow(average, [torch.tensor([3.0])], steps=8, decay=0.9)
    >>> average
    [tensor([2.])]
    """
    if averages[0].is_floating_point():
        torch._foreach_lerp_(averages, weights, 1 - min(decay, (1 + steps) / (10 + steps)))
    else:
        torch._foreach_copy_(averages, weights)


def watched_network(trainer: pl.Trainer) -> Network:
    """Return the network that is watched and kept: the averaged one, where training averages."""
    averages = (callback._average_model for callback in trainer.callbacks if isinstance(callback, MovingAverage))  # type: ignore[attr-defined]
    average = next(averages, None)
    network: Network = (average.module if average else trainer.lightning_module).network  # type: ignore[assignment]
    return network
