"""History: a row of metrics per epoch, and the weights of the best one."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import pandas as pd
from torch import Tensor
from tqdm import tqdm

from hpa_hier.files.tables import write_table
from hpa_hier.training.loop.averaging import watched_network
from hpa_hier.training.loop.module import CALIBRATION_LOSS, LOG_LOSS, MACRO_F1, MACRO_SAMPLE_F1, Training

_COLUMNS = {"loss": CALIBRATION_LOSS, "macro_f1": MACRO_F1, "macro_sample_f1": MACRO_SAMPLE_F1}


@dataclass(frozen=True)
class Watch:
    """What decides which epoch is best and when training ends."""

    stop_on: str  # log_loss, loss, macro_f1, macro_sample_f1, or none: the last epoch counts as the best

    @property
    def metric(self) -> str:
        """The column that is watched."""
        return _COLUMNS.get(self.stop_on, LOG_LOSS)

    @property
    def mode(self) -> Literal["min", "max"]:
        """Whether the least or the largest value is the best."""
        return "min" if self.metric in (LOG_LOSS, CALIBRATION_LOSS) else "max"

    def improves(self, new: float, old: float | None) -> bool:
        """Return whether a metric is better than the best so far (None: there is none).

        >>> Watch("log_loss").improves(0.4, 0.5), Watch("macro_f1").improves(0.4, 0.5), Watch("none").improves(0.6, 0.5)
        (True, False, True)
        """
        if old is None or self.stop_on == "none":
            return True
        return new < old if self.mode == "min" else new > old


class History(pl.Callback):
    """Writes history.csv after each epoch and keeps the best weights; checkpoints hold both.

    Args:
        path: of history.csv.
        watch: which epoch is best.
        steps: of the whole training.
        name: the member's, for the progress lines; "" prints none.
    """

    _KEPT = ("rows", "best_epoch", "weights", "done")

    def __init__(self, path: Path, watch: Watch, steps: int, name: str) -> None:
        self._path, self._watch, self._steps, self._name = path, watch, steps, name
        self.rows: list[dict[str, float]] = []
        self.best_epoch = 0
        self.weights: dict[str, Tensor] = {}
        self.done = False
        self._spent = 0.0  # seconds of this epoch before an interruption
        self._batches: object = None
        self._since = self._clock()

    def _clock(self) -> float:
        """Return the time without what the batches were held back by trainings that take turns with this one."""
        return time.monotonic() - float(getattr(self._batches, "held", 0.0))

    @property
    def seconds(self) -> float:
        """Seconds of training, without interruptions."""
        return sum(row["seconds"] for row in self.rows)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._batches = trainer.train_dataloader
        self._since = self._clock()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object, **__: object) -> None:
        """End the training after its last step, wherever in an epoch that is."""
        if trainer.global_step >= self._steps:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the epoch's row, and keep the weights where they are the best so far."""
        assert isinstance(pl_module, Training)
        now = self._clock()
        epoch = len(self.rows) + 1
        row = {
            "epoch": epoch,
            "train_loss": pl_module.mean_loss_sum() / max(1, trainer.fit_loop.batch_idx + 1),
            **pl_module.watched,
            "learning_rate": max(float(group["lr"]) for group in trainer.optimizers[0].param_groups),
            "seconds": self._spent + now - self._since,
        }
        pl_module.loss_sum.zero_()
        self.rows.append(row)
        self._spent, self._since = 0.0, now
        best = self.rows[self.best_epoch - 1][self._watch.metric] if self.best_epoch else None
        if self._watch.improves(row[self._watch.metric], best):
            self.best_epoch = epoch
            watched = watched_network(trainer).state_dict()
            self.weights = {name: weights.detach().cpu().clone() for name, weights in watched.items()}
        self.done = trainer.should_stop
        if trainer.is_global_zero:
            write_history(self._path, pd.DataFrame(self.rows))
            if self._name:
                tqdm.write(
                    f"{self._name}: epoch {epoch} of {trainer.max_epochs}, train loss {row['train_loss']:.4f}, "
                    f"calibration loss {row[CALIBRATION_LOSS]:.4f}, log loss {row[LOG_LOSS]:.4f}, "
                    f"{row['seconds']:.1f} s",
                    file=sys.stderr,
                )

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resumed training needs."""
        spent = self._spent + self._clock() - self._since
        return {**{name: getattr(self, name) for name in self._KEPT}, "spent": spent}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name in self._KEPT:
            setattr(self, name, state_dict[name])
        self._spent = state_dict["spent"]


def write_history(path: Path, rows: pd.DataFrame) -> None:
    """Write history.csv: a row per epoch; six digits are enough for curves."""
    write_table(path, rows.map("{:.6g}".format))
