"""Class counts: training images of each class before and after balancing."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from hpa_hier.evaluate.figures.figure import label_rows, new_figure
from hpa_hier.evaluate.figures.palette import LIGHT
from hpa_hier.evaluate.training_record import ClassCount


def draw_class_counts(counts: Sequence[ClassCount]) -> Figure | None:
    """Draw a line for each class from its images to its images in a balanced epoch, on a logarithmic axis."""
    if not counts:
        return None
    figure = new_figure(0.8 + 0.23 * len(counts), width=4.8)
    axes = figure.add_subplot()
    rows = range(len(counts))
    before, after = [one.before for one in counts], [one.after for one in counts]
    axes.hlines(rows, before, after, colors=LIGHT["soft"], linewidth=1.2, alpha=0.5)
    axes.plot(after, rows, "o", color=LIGHT["ours"], label="in a balanced epoch")
    axes.plot(before, rows, "o", color=LIGHT["soft"], markerfacecolor=LIGHT["card"], label="images")
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(0.7 * min(before), 1.3 * max(1, *after))
    axes.set_xlabel("training images")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(visible=False, axis="y")
    label_rows(axes, [one.leaf for one in counts])
    figure.legend(loc="outside upper left", ncols=2, reverse=True)
    return figure
