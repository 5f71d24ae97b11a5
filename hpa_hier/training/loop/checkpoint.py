"""Checkpoints: one file that is whole or absent, from which training resumes as if it had never stopped."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import write_with
from hpa_hier.files.faults.machine import find_refusal
from hpa_hier.models.precision import Precision
from hpa_hier.training.batches.order import PartBatches, TrainingBatches
from hpa_hier.training.loop.module import Training
from hpa_hier.training.loop.stopping import Interrupted, SignalCounter

_SECONDS_BETWEEN = 600.0  # between two checkpoints within an epoch; there is one at each epoch's end besides
_STEPS_BETWEEN = 16  # between two questions of several processes whether one is due
OURS = "hpa_hier"  # key of what we add to the library's checkpoint: format, and digest of what is trained
FORMAT = 3  # of what callbacks and schedules keep; raised when trainings of before could not be resumed


class WholeFiles(TorchCheckpointIO):
    """Writes checkpoints to a temporary name, syncs and renames; reads tensors and plain values only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: object = None) -> None:  # noqa: ANN401
        """Write a checkpoint, whole or not at all."""
        try:
            write_with(Path(path), lambda handle: torch.save(checkpoint, handle))
        except RuntimeError as error:  # what torch makes of a full disk
            refused = find_refusal(error)
            if refused is None:
                raise
            refused.filename = refused.filename or str(path)
            raise refused from None

    def load_checkpoint(
        self, path: str | Path, map_location: object = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read a checkpoint as `read_checkpoint` does."""
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, without running any code that it may contain.

    Raises:
        UserError: the file is damaged.
    """
    try:
        if not path.is_file():  # a pipe would be waited for
            raise ValueError("no regular file")
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch itself does not verify the checksums that it writes
        if damaged is not None:
            raise zipfile.BadZipFile(f"{damaged} does not match its checksum")
        loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises any of a dozen kinds
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(f"{path}: damaged ({reason}); --restart trains the member again") from None
    return loaded


class ResumeCheckpoint(pl.Callback):
    """Saves checkpoints, resumes the batches where a checkpoint left them, and stops when asked to.

    Never after the last batch of an epoch: that checkpoint is written once the calibration part has been scored, so
    that every epoch has its metrics. The last of the callbacks, so that the file holds what the others have updated.

    Args:
        path: the checkpoint.
        stop: whether the user asked to stop.
        digest: of what is trained; a checkpoint with another is not resumed.
        precision: of the training; kept, so that a resumed one goes on with it.
    """

    def __init__(self, path: Path, stop: SignalCounter, digest: str, precision: Precision) -> None:
        self._path, self._stop, self._digest, self._precision = path, stop, digest, precision
        self._saved_at = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Move the batches to the step that training is at."""
        self._stop.listen()
        training, watched = cast(TrainingBatches, trainer.train_dataloader), cast(PartBatches, trainer.val_dataloaders)
        training.rank = watched.rank = trainer.global_rank
        training.seek(trainer.global_step)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object, **__: object) -> None:
        """Save within an epoch, when asked to stop or when a checkpoint is due."""
        done = trainer.fit_loop.batch_idx + 1
        ends_epoch = trainer.should_stop or done >= trainer.num_training_batches
        if ends_epoch or done % trainer.accumulate_grad_batches:  # checkpoints hold no gradients
            return
        due = time.monotonic() - self._saved_at > _SECONDS_BETWEEN
        asked = trainer.world_size == 1 or trainer.global_step % _STEPS_BETWEEN == 0
        stopping, due = self._must_stop(trainer), asked and self._any(trainer, due and trainer.is_global_zero)
        if stopping or due:
            self._save(trainer)
        if stopping:
            raise Interrupted

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save after an epoch."""
        self._save(trainer)
        if self._must_stop(trainer):
            raise Interrupted

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the format, the digest and the precision."""
        checkpoint[OURS] = {"format": FORMAT, "digest": self._digest, "precision": self._precision}

    def _save(self, trainer: pl.Trainer) -> None:
        cast(Training, trainer.lightning_module).mean_loss_sum()
        trainer.save_checkpoint(self._path)
        self._saved_at = time.monotonic()

    def _must_stop(self, trainer: pl.Trainer) -> bool:
        return self._any(trainer, self._stop.requested)

    def _any(self, trainer: pl.Trainer, here: bool) -> bool:
        """Say whether something holds in any process: all must stop, and save, at the same step."""
        if trainer.world_size == 1:
            return here
        anywhere = torch.tensor(int(here), device=trainer.strategy.root_device)
        # Lightning's own reduction has all wait for each other twice.
        torch.distributed.all_reduce(anywhere, torch.distributed.ReduceOp.MAX)
        return bool(anywhere)
