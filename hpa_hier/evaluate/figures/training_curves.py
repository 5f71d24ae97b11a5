"""Training curves: loss, and what was watched, of each member over epochs."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hpa_hier.evaluate.figures.figure import new_figure
from hpa_hier.evaluate.figures.palette import LIGHT
from hpa_hier.evaluate.training_record import TrainingRecord


def draw_training_curves(records: Sequence[TrainingRecord]) -> Figure | None:
    """Draw a row for each member with at least two epochs: its loss on the left, its log loss on the right.

    A member of an earlier version has macro F1 instead, at each node's own best threshold.
    """
    records = [record for record in records if len(record.history) > 1]
    if not records:
        return None
    figure = new_figure(0.5 + 1.45 * len(records))
    grid = figure.subplots(len(records), 2, squeeze=False)
    for (left, right), record in zip(grid, records, strict=True):
        _draw(left, record, "train_loss", "training part", "soft", "--")
        _draw(left, record, "calibration_loss", "calibration part", "ours", "-")
        older = "calibration_log_loss" not in record.history
        _draw(right, record, "calibration_macro_f1" if older else "calibration_log_loss", None, "ours", "-")
        right.set_ylim(bottom=0)
        left.set_title(f"{record.manifest.name}: loss")
        right.set_title("macro F1, calibration part" if older else "log loss after scaling, calibration part")
        for axes in (left, right):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
            axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
            axes.axvline(record.manifest.best_epoch, color=LIGHT["soft"], linewidth=0.8, linestyle=(0, (1, 3)))
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


def _draw(axes: Axes, record: TrainingRecord, column: str, label: str | None, colour: str, dashes: str) -> None:
    values = record.history.get(column, pd.Series(dtype=float))  # empty where it was not recorded
    axes.plot(values.index, values, color=LIGHT[colour], linestyle=dashes, linewidth=1.5, label=label)
