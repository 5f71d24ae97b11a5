"""Checkpoints: one file that is whole or absent, from which training goes on as if it had never stopped."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import write_with
from hpa_hier.training.batches.images import PartBatches, TrainingBatches
from hpa_hier.training.loop.stopping import Interrupted, StopWish

SECONDS_BETWEEN = 600.0  # between two checkpoints within an epoch; there is one at each epoch's end besides
_OURS = "hpa_hier"  # key of what we add to the library's checkpoint


class WholeFiles(TorchCheckpointIO):
    """Writes checkpoints to a temporary name, syncs and renames; reads tensors and plain values only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: object = None) -> None:  # noqa: ANN401
        """Write a checkpoint, whole or not at all."""
        write_with(Path(path), lambda handle: torch.save(checkpoint, handle))

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: object = None,
        weights_only: bool | None = True,
    ) -> dict[str, Any]:
        """Read a checkpoint as `read_checkpoint` does."""
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, without running anything that stands in it.

    Raises:
        UserError: the file is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch itself does not check the sums that it writes
        if damaged is not None:
            raise zipfile.BadZipFile(f"{damaged} does not match its checksum")
        loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file ends in any of a dozen kinds
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(f"{path}: damaged ({reason}); --restart trains the member anew") from None
    return loaded


def ours(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `GoOn` added to a checkpoint."""
    added: dict[str, Any] = checkpoint.get(_OURS, {})
    return added


class GoOn(pl.Callback):
    """Puts the batches where the checkpoint left them, saves checkpoints, and stops where that is wished.

    The last batch of an epoch is never the place: its checkpoint comes after the calibration part has been scored, so
    that no epoch goes without its figures. Comes last among the callbacks, for the others' news to be in the file.

    Args:
        path: the checkpoint.
        wish: whether somebody asked to stop.
        facts: plain values that are kept in the checkpoint; called when it is written.
        seconds_between: time after which a checkpoint is written within an epoch.
    """

    def __init__(
        self,
        path: Path,
        wish: StopWish,
        facts: Callable[[], dict[str, Any]],
        seconds_between: float = SECONDS_BETWEEN,
    ) -> None:
        self._path, self._wish, self._facts, self._seconds_between = path, wish, facts, seconds_between
        self._saved_at = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Move the batches to the step that training is at."""
        self._wish.listen()
        training, watched = cast(TrainingBatches, trainer.train_dataloader), cast(PartBatches, trainer.val_dataloaders)
        training.rank = watched.rank = trainer.global_rank
        training.seek(trainer.global_step)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Save within an epoch, where it is wished or due."""
        if trainer.should_stop or batch_idx + 1 >= trainer.num_training_batches:
            return
        if (batch_idx + 1) % trainer.accumulate_grad_batches:  # gradients under way are in no checkpoint
            return
        wished = self._wished(trainer)
        if wished or time.monotonic() - self._saved_at > self._seconds_between:
            self._save(trainer)
        if wished:
            raise Interrupted

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save after an epoch."""
        self._save(trainer)
        if self._wished(trainer):
            raise Interrupted

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add our facts."""
        checkpoint[_OURS] = self._facts()

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self._path)
        self._saved_at = time.monotonic()

    def _wished(self, trainer: pl.Trainer) -> bool:
        if trainer.world_size == 1:
            return self._wish.made
        # All processes must leave at the same step, or those that go on wait for the others for ever.
        return bool(trainer.strategy.reduce_boolean_decision(self._wish.made, all=False))
