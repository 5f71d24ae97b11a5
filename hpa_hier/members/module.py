"""The training of one network as the trainer library sees it: steps, the watched figures, the optimiser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from hpa_hier.errors import UserError
from hpa_hier.members.batches import Batch, Part
from hpa_hier.members.macro_f1 import macro_f1
from hpa_hier.members.schedule import one_cycle
from hpa_hier.models.augment import warp_batch
from hpa_hier.models.losses import Loss
from hpa_hier.models.network import Network

MACRO_F1, CALIBRATION_LOSS = "calibration_macro_f1", "calibration_loss"


@dataclass(frozen=True)
class Optimising:
    """How the weights are changed."""

    learning_rate: float  # the largest of the schedule
    weight_decay: float
    schedule: str  # one_cycle or constant
    steps: int  # of the whole training
    conditional_steps: int = 0  # of those, the first ones, which train a chain's conditional logits


class Training(pl.LightningModule):
    """One member's network with its loss, its optimiser and its calibration part.

    Args:
        network: what is trained.
        loss: (logits, present, known) → scalar.
        optimising: learning rate and its course.
        calibration: the part that is watched.
        seed: of everything random in a step, as dropout.
    """

    loss_sum: Tensor

    def __init__(self, network: Network, loss: Loss, optimising: Optimising, calibration: Part, seed: int) -> None:
        super().__init__()
        self.network, self._loss, self._optimising = network, loss, optimising
        self._calibration, self._seed = calibration, seed
        self._scored: list[Tensor] = []
        # The running sum is kept with the weights, so that an epoch's mean loss survives an interruption in it.
        self.register_buffer("loss_sum", torch.zeros((), dtype=torch.float64))
        self.watched: dict[str, float] = {}  # the figures of the calibration part after the newest epoch

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed the step: what a step draws depends on its number alone, never on the steps this process has run."""
        numbers = np.random.SeedSequence([self._seed, self.global_step, self.global_rank]).generate_state(2)
        torch.manual_seed(int(numbers[0]) << 32 | int(numbers[1]))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        images = batch.images
        if batch.matrices is not None:
            images = warp_batch(images, batch.matrices).contiguous(memory_format=torch.channels_last)
        known = batch.known
        if self.global_step < self._optimising.conditional_steps:
            logits = self.network.conditional(images, batch.gain)
            known = known * self.network.parents_present(batch.present)
        else:
            logits = self.network(images, batch.gain)
        loss = self._loss(logits, batch.present, known)
        self.loss_sum.add_(loss.detach())
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Score one batch of the calibration part."""
        self._scored.append(self.network(batch.images).float())

    def on_validation_epoch_end(self) -> None:
        """Compute the watched figures over the whole part at once."""
        logits = torch.cat(self._scored)
        self._scored.clear()
        if self.trainer.world_size > 1:
            # (processes, share, n) → the part's order: the processes took turns.
            gathered = self.all_gather(logits)
            logits = gathered.transpose(0, 1).reshape(-1, logits.shape[1])  # type: ignore[union-attr]
        logits = logits[: len(self._calibration)]
        present, known = self._calibration.present, self._calibration.known
        loss = self._loss(logits, *(torch.from_numpy(mask).to(logits) for mask in (present, known)))
        if not torch.isfinite(loss):
            raise UserError(
                f"training diverged: the calibration loss is {float(loss)} after epoch {self.current_epoch + 1}; "
                f"lower training.learning_rate from {self._optimising.learning_rate:g}"
            )
        self.watched = {CALIBRATION_LOSS: float(loss), MACRO_F1: macro_f1(logits.cpu().numpy(), present, known)}
        self.log_dict(self.watched)

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - the library's own union of forms
        """Return AdamW, without decay of biases and norms, and the learning rate's course."""
        decayed = [weights for weights in self.network.parameters() if weights.ndim > 1]
        rest = [weights for weights in self.network.parameters() if weights.ndim <= 1]
        optimising = self._optimising
        groups = [{"params": decayed, "weight_decay": optimising.weight_decay}, {"params": rest, "weight_decay": 0.0}]
        fused = self.device.type in ("cpu", "cuda")
        optimizer: Optimizer = AdamW(groups, lr=optimising.learning_rate, fused=fused)
        if optimising.schedule == "constant":
            return optimizer
        course = LambdaLR(optimizer, lambda step: one_cycle(step, optimising.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": course, "interval": "step"}}
