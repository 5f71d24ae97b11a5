"""Training curves: loss, and what was watched, of each member over epochs, small."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hpa_hier.evaluate.figures.figure import new_figure
from hpa_hier.evaluate.figures.palette import LIGHT
from hpa_hier.evaluate.training_record import TrainingRecord

_IN_A_ROW = 3  # members
_WIDE, _HIGH = 2.2, 2.1  # inches, of one member: its loss above what was watched


def draw_training_curves(records: Sequence[TrainingRecord]) -> Figure | None:
    """Draw a small pair for each member with at least two epochs: its loss above, its log loss below.

    A member of an earlier version has macro F1 instead, at each node's own best threshold.
    """
    records = [record for record in records if len(record.history) > 1]
    if not records:
        return None
    across = min(_IN_A_ROW, len(records))
    rows = ceil(len(records) / across)
    figure = new_figure(0.3 + _HIGH * rows, width=_WIDE * across)
    grid = figure.subplots(2 * rows, across, squeeze=False)
    for k in range(rows * across):
        above, below = grid[2 * (k // across)][k % across], grid[2 * (k // across) + 1][k % across]
        if k < len(records):
            _draw_member(above, below, records[k])
        else:
            above.remove()
            below.remove()
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


def _draw_member(above: Axes, below: Axes, record: TrainingRecord) -> None:
    _draw(above, record, "train_loss", "training part", "soft", "--")
    _draw(above, record, "calibration_loss", "calibration part", "ours", "-")
    older = "calibration_log_loss" not in record.history
    _draw(below, record, "calibration_macro_f1" if older else "calibration_log_loss", None, "ours", "-")
    below.set_ylim(bottom=0)
    above.set_title(record.manifest.name, fontsize=7)
    above.set_ylabel("loss", fontsize=7)
    below.set_ylabel("macro F1" if older else "log loss", fontsize=7)
    below.set_xlabel("epoch", fontsize=7)
    above.sharex(below)
    above.tick_params(labelbottom=False)
    for axes in (above, below):
        axes.tick_params(labelsize=6)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
        axes.axvline(record.manifest.best_epoch, color=LIGHT["soft"], linewidth=0.8, linestyle=(0, (1, 3)))


def _draw(axes: Axes, record: TrainingRecord, column: str, label: str | None, colour: str, dashes: str) -> None:
    values = record.history.get(column, pd.Series(dtype=float))  # empty where it was not recorded
    axes.plot(values.index, values, color=LIGHT[colour], linestyle=dashes, linewidth=1.2, label=label)
