"""Same: what the processes of a training must have alike before the calibration part is scored."""

from __future__ import annotations

import lightning.pytorch as pl
from torch import distributed, nn


class SameStatistics(pl.Callback):
    """Gives all processes the first one's running statistics before the calibration part is scored.

    Without a normalisation over all of them, as on CPUs, each process has statistics of its own batches; the first
    one's are kept. Comes after the moving average among the callbacks, and before what reads the watched weights.
    """

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy them."""
        if trainer.world_size > 1:
            skipped = local_buffers(pl_module)
            for name, buffer in pl_module.named_buffers():
                if name not in skipped:
                    distributed.broadcast(buffer, src=0)


def local_buffers(module: nn.Module) -> list[str]:
    """Return the names of buffers that each process keeps for itself: what it sums up, and what ArcFace remembers."""
    ends = ("loss_sum", "bank", "head.present", "head.known")
    return [name for name, _ in module.named_buffers() if name.split("network.")[-1].endswith(ends)]
