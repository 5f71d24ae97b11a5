"""The training of one network as the trainer library sees it: steps, the watched figures, the optimiser."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from hpa_hier.errors import UserError
from hpa_hier.models.augment.warp import apply_gamma, warp_batch
from hpa_hier.models.losses.elementwise import Loss
from hpa_hier.models.network import Network
from hpa_hier.runs.part import Part
from hpa_hier.training.batches.images import Batch
from hpa_hier.training.loop.macro_f1 import macro_f1, sample_f1
from hpa_hier.training.loop.schedule import lr_schedule

MACRO_F1, CALIBRATION_LOSS = "calibration_macro_f1", "calibration_loss"
MACRO_SAMPLE_F1 = "calibration_macro_sample_f1"  # the mean of macro and sample F1

_Groups = list[dict[str, Any]]


@dataclass(frozen=True)
class Optimising:
    """How the weights are changed."""

    learning_rate: float  # the largest of the schedule
    weight_decay: float
    schedule: str  # one_cycle, warmup_cosine or constant
    steps: int  # of the whole training
    conditional_steps: int = 0  # of those, the first ones, which train a chain's conditional logits
    warmup: float = 0.05  # warmup_cosine: share of the steps in which the rate rises
    optimizer: str = "adamw"  # adamw, adam or sgd
    backbone_rate: float = 1.0  # the backbone's learning rate, share of the head's
    frozen_steps: int = 0  # first steps, in which the backbone's weights stand still
    ema: float = 0.0  # decay of the weights' moving average; 0: none

    @property
    def apart(self) -> bool:
        """Whether backbone and head learn at different rates."""
        return self.backbone_rate != 1 or self.frozen_steps > 0


class Training(pl.LightningModule):
    """One member's network with its loss, its optimiser and its calibration part.

    Args:
        network: what is trained.
        loss: (logits, present, known) → scalar.
        optimising: learning rate and its course.
        calibration: the part that is watched.
        seed: of everything random in a step, as dropout.

    Attributes:
        averaged: the moving average of the network's weights, where there is one. It stands beside the network, so that
            checkpoints hold both.
    """

    loss_sum: Tensor

    def __init__(self, network: Network, loss: Loss, optimising: Optimising, calibration: Part, seed: int) -> None:
        super().__init__()
        self.network, self._loss, self._optimising = network, loss, optimising
        self.averaged = copy.deepcopy(network).requires_grad_(False) if optimising.ema else None
        self._calibration, self._seed = calibration, seed
        self.watches_samples = False  # whether sample F1 is computed, too
        self._scored: list[Tensor] = []
        # The running sum is kept with the weights, so that an epoch's mean loss survives an interruption in it.
        self.register_buffer("loss_sum", torch.zeros((), dtype=torch.float64))
        self.watched: dict[str, float] = {}  # the figures of the calibration part after the newest epoch

    @property
    def kept(self) -> Network:
        """The network that is watched and kept."""
        return self.network if self.averaged is None else self.averaged

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed the step: what a step draws depends on its number alone, never on the steps this process has run."""
        together = self.trainer.accumulate_grad_batches
        number = self.global_step * together + batch_idx % together
        numbers = np.random.SeedSequence([self._seed, number, self.global_rank]).generate_state(2)
        torch.manual_seed(int(numbers[0]) << 32 | int(numbers[1]))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        images = batch.images
        if batch.matrices is not None:
            images = warp_batch(images, batch.matrices, batch.bends, batch.side)
            images = images.contiguous(memory_format=torch.channels_last)
        if batch.gamma is not None:
            images = apply_gamma(images, batch.gamma)
        present, known = batch.present, batch.known
        if self.global_step < self._optimising.conditional_steps:
            logits = self.network.conditional(images, batch.gain)
            present, known = self.network.conditional_targets(present, known)
        else:
            logits = self.network(images, batch.gain)
        loss = self._loss(logits, present, known)
        self.loss_sum.add_(loss.detach())
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Score one batch of the calibration part."""
        self._scored.append(self.kept.unlifted(batch.images))

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
        scored = self.kept.lifted(logits).cpu().numpy()
        self.watched = {CALIBRATION_LOSS: float(loss), MACRO_F1: macro_f1(scored, present, known)}
        if self.watches_samples:
            self.watched[MACRO_SAMPLE_F1] = (self.watched[MACRO_F1] + sample_f1(scored, present, known)) / 2
        self.log_dict(self.watched)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as the library calls it
        """Take a step, and let the moving average follow at once: a checkpoint after the step holds both."""
        super().optimizer_step(*args, **kwargs)
        if self.averaged is not None:
            # An average over more steps than there have been would hold on to the untrained weights.
            done = self.global_step + 1
            follow(self.averaged, self.network, min(self._optimising.ema, (1 + done) / (10 + done)))

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - the library's own union of forms
        """Return the optimiser, without decay of biases and norms, and the learning rate's course."""
        optimising = self._optimising
        groups = _groups(self.network, optimising.weight_decay)
        course = lr_schedule(optimising.schedule, optimising.steps, optimising.warmup)
        courses = [course] * len(groups)
        if optimising.apart:
            slow = _groups(self.network.backbone, optimising.weight_decay)
            for group in slow:
                group["lr"] = optimising.learning_rate * optimising.backbone_rate
            new = torch.nn.ModuleList([self.network.top, self.network.head])
            groups = slow + _groups(new, optimising.weight_decay)
            late = lr_schedule(optimising.schedule, optimising.steps, optimising.warmup, optimising.frozen_steps)
            courses = [late] * len(slow) + [course] * (len(groups) - len(slow))
        optimizer = _optimizer(optimising, groups, fused=self.device.type in ("cpu", "cuda"))
        if optimising.schedule == "constant" and not optimising.frozen_steps:
            return optimizer
        scheduler = LambdaLR(optimizer, courses)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def follow(average: torch.nn.Module, network: torch.nn.Module, decay: float) -> None:
    """Move an average's weights and running statistics towards a network's: average × decay + network × (1 − decay)."""
    with torch.no_grad():
        for old, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if old.is_floating_point():
                old.lerp_(new, 1 - decay)
            else:  # as a batch norm's count of batches
                old.copy_(new)


def _groups(module: torch.nn.Module, weight_decay: float) -> _Groups:
    """Return a module's weights in two groups: those that decay, and biases and norms."""
    decayed = [weights for weights in module.parameters() if weights.ndim > 1]
    rest = [weights for weights in module.parameters() if weights.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


def _optimizer(optimising: Optimising, groups: _Groups, fused: bool) -> Optimizer:
    rate = optimising.learning_rate
    if optimising.optimizer == "sgd":
        return SGD(groups, lr=rate, momentum=0.9, nesterov=True, fused=fused)
    kind = Adam if optimising.optimizer == "adam" else AdamW
    return kind(groups, lr=rate, fused=fused)
