"""Progress: how far a training is, after each of its steps."""

from __future__ import annotations

from collections.abc import Callable

import lightning.pytorch as pl

Report = Callable[[float], None]  # takes the share of a training that is done, 0 to 1


class Progress(pl.Callback):
    """Reports the share of the steps that are done; of several processes, the first one alone.

    Args:
        report: takes it.
        steps: of the whole training, at most: early stopping ends it before.
    """

    def __init__(self, report: Report, steps: int) -> None:
        self._report, self._steps = report, steps

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report where a resumed training begins."""
        self._tell(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object, **__: object) -> None:
        """Report one more step."""
        self._tell(trainer)

    def _tell(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero:
            self._report(min(1.0, trainer.global_step / max(1, self._steps)))


def narrow(report: Report | None, part: int, parts: int) -> Report | None:
    """Return what reports one of several trainings in a row as its share of them all.

    >>> shares: list[float] = []
    >>> third = narrow(shares.append, 2, 4)
    >>> third(0.5) if third else None
    >>> shares
    [0.625]
    """
    return None if report is None else lambda share: report((part + share) / parts)
