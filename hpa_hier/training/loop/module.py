"""The training of one network as Lightning sees it: steps, watched metrics, optimiser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, Adam, AdamW, Optimizer

from hpa_hier.errors import UserError
from hpa_hier.models.augment.warp import augment_batch
from hpa_hier.models.losses.loss import Loss
from hpa_hier.models.network import Network
from hpa_hier.runs.run import Part
from hpa_hier.settings.training import TrainingSettings
from hpa_hier.training.batches.order import Batch
from hpa_hier.training.loop.schedule import lr_schedule
from hpa_hier.training.loop.step import Step, compute_loss, make_step
from hpa_hier.training.loop.watched import macro_f1, sample_f1, scaled_log_loss
from hpa_hier.training.processes.same import local_buffers

CALIBRATION_LOSS, LOG_LOSS = "calibration_loss", "calibration_log_loss"
MACRO_F1, MACRO_SAMPLE_F1 = "calibration_macro_f1", "calibration_macro_sample_f1"  # the mean of macro and sample F1


@dataclass(frozen=True)
class Length:
    """How long a training lasts."""

    steps: int  # optimiser steps, at most
    steps_per_epoch: int

    @property
    def epochs(self) -> int:
        """Epochs, at most; the last one may be cut short.

        >>> Length(steps=25, steps_per_epoch=10).epochs
        3
        """
        return -(-self.steps // self.steps_per_epoch)


class Training(pl.LightningModule):
    """One member's network with its losses, its optimiser and its calibration part.

    Args:
        network: what is trained.
        loss: (logits, present, known) → scalar, of a training step; with the columns of auxiliary nodes, if any.
        settings: optimiser, schedule and what is watched.
        length: of the training.
        calibration: the part that is watched.
        seed: of everything random in a step, such as dropout.
        watched_loss: of the calibration part; None: the same.
    """

    loss_sum: Tensor

    def __init__(
        self,
        network: Network,
        loss: Loss,
        settings: TrainingSettings,
        length: Length,
        calibration: Part,
        seed: int,
        watched_loss: Loss | None = None,
    ) -> None:
        super().__init__()
        self.network, self._loss, self._watched_loss = network, loss, watched_loss or loss
        self._settings, self._length, self._calibration, self._seed = settings, length, calibration, seed
        self._first_stage_steps = round(settings.chain.first_stage * length.steps) if settings.head == "chain" else 0
        self._batches_per_step = settings.accumulate * settings.devices * settings.nodes
        self._step: Step = compute_loss
        self._known_share: Tensor | float = 0.0  # sum over the batches of the step under way
        self._scored: list[Tensor] = []
        # The running sum is kept with the weights, so that an epoch's mean loss survives an interruption in it.
        self.register_buffer("loss_sum", torch.zeros((), dtype=torch.float64))
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(self, local_buffers(self))  # type: ignore[no-untyped-call]
        self.watched: dict[str, float] = {}  # metrics of the calibration part after the newest epoch

    def on_train_start(self) -> None:
        """Compile the step where the settings ask for it, now that the device is known."""
        self._step = make_step(self._settings, self.device, self._length.steps)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed the step, so that what it draws depends on its number alone; freeze or unfreeze the backbone."""
        self._freeze_backbone()
        together = self.trainer.accumulate_grad_batches
        number = self.global_step * together + batch_idx % together
        numbers = np.random.SeedSequence([self._seed, number, self.global_rank]).generate_state(2)
        torch.manual_seed(int(numbers[0]) << 32 | int(numbers[1]))

    def _freeze_backbone(self) -> None:
        # Lightning's BackboneFinetuning adds parameter groups when it unfreezes; schedules know the first ones only.
        backbone = self.network.backbone
        frozen = self.global_step < self._settings.freeze_epochs * self._length.steps_per_epoch
        if frozen == backbone.training:  # in evaluation mode, running statistics do not move and nothing is dropped out
            backbone.requires_grad_(not frozen).train(not frozen)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        samples = augment_batch(batch.samples, batch.draws, batch.side)
        if not self._settings.channels_last:
            samples = samples.contiguous()
        first = self.global_step < self._first_stage_steps
        loss, known = self._step(self.network, self._loss, samples, batch.draws.gain, batch.present, batch.known, first)
        self.loss_sum.add_(loss.detach())
        if self._batches_per_step == 1:
            return loss
        share = known[:, : self._calibration.present.shape[1]].mean()  # of the member's own nodes
        self._known_share = self._known_share + share
        return loss * share

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Make the step's gradient that of the mean over all known entries of its batches, in all processes."""
        if self._batches_per_step == 1:
            return
        # Lightning has averaged loss × known share over the batches; by the mean share, that is the mean over entries.
        share = torch.as_tensor(self._known_share, device=self.device) / self._settings.accumulate
        mean = self._mean_of_processes(share)
        self._known_share = 0.0
        mean = torch.where(mean > 0, mean, 1.0)
        torch._foreach_div_([weights.grad for weights in self.parameters() if weights.grad is not None], mean)

    def mean_loss_sum(self) -> float:
        """Return the sum of the losses since the epoch's start, the mean over the processes."""
        if self.trainer.world_size > 1:  # and keep the mean, as a checkpoint holds one process's sum
            self._mean_of_processes(self.loss_sum)
        return float(self.loss_sum)

    def _mean_of_processes(self, value: Tensor) -> Tensor:
        """Return a value's mean over the processes, in place."""
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(value)
            value /= self.trainer.world_size
        return value

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Score one batch of the calibration part."""
        self._scored.append(self.network.logits(batch.samples))

    def on_validation_epoch_end(self) -> None:
        """Compute the watched metrics over the whole part at once."""
        logits = torch.cat(self._scored)
        self._scored.clear()
        if self.trainer.world_size > 1:
            # (processes, share, n) → the part's order, as the processes took turns.
            gathered = self.all_gather(logits)
            logits = gathered.transpose(0, 1).reshape(-1, logits.shape[1])  # type: ignore[union-attr]
        logits = logits[: len(self._calibration)]
        present, known = self._calibration.present, self._calibration.known
        loss = self._watched_loss(logits, *(torch.from_numpy(mask).to(logits) for mask in (present, known)))
        if not torch.isfinite(loss):
            raise UserError(
                f"training diverged: the calibration loss is {float(loss)} after epoch {self.current_epoch + 1}; "
                f"lower training.learning_rate from {self._settings.learning_rate:g}"
            )
        scored = self.network.answers(logits).cpu().numpy()
        self.watched = {CALIBRATION_LOSS: float(loss), LOG_LOSS: scaled_log_loss(scored, present, known)}
        if self._settings.stop_on == "macro_f1":
            self.watched[MACRO_F1] = macro_f1(scored, present, known)
        elif self._settings.stop_on == "macro_sample_f1":
            both = macro_f1(scored, present, known), sample_f1(scored, present, known)
            self.watched[MACRO_SAMPLE_F1] = sum(both) / 2
        self.log_dict(self.watched)

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's own union of forms
        """Return the optimiser, without decay of biases and norms, and the learning-rate schedule."""
        settings, rate, network = self._settings, self._settings.learning_rate, self.network
        parts: list[tuple[torch.nn.Module, float]] = [(network, rate)]
        if settings.backbone_rate != 1:
            above = torch.nn.ModuleList([network.top, network.head, network.auxiliary or torch.nn.Identity()])
            parts = [(network.backbone, rate * settings.backbone_rate), (above, rate)]
        groups = [
            {
                "params": [weights for weights in part.parameters() if (weights.ndim > 1) == decays],
                "weight_decay": settings.weight_decay if decays else 0.0,
                "lr": part_rate,
            }
            for part, part_rate in parts
            for decays in (True, False)
        ]
        options = {"momentum": 0.9, "nesterov": True} if settings.optimizer == "sgd" else {}
        kind = {"sgd": SGD, "adam": Adam, "adamw": AdamW}[settings.optimizer]
        optimizer = kind(groups, lr=rate, fused=self.device.type in ("cpu", "cuda"), **options)
        schedule = lr_schedule(optimizer, settings.schedule, self._length.steps, settings.warmup)
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
