"""Precision and recall of each class with intervals, the most frequent class first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from hpa_hier.evaluate.figures.figure import label_rows, new_figure
from hpa_hier.evaluate.figures.palette import LIGHT
from hpa_hier.evaluate.results import Estimate, NodeRow


def leaves_by_support(nodes: Sequence[NodeRow]) -> list[NodeRow]:
    """Return the leaves, those with most positives first."""
    return sorted((row for row in nodes if row.leaf), key=lambda row: -row.positives)


def draw_precision_recall(rows: Sequence[NodeRow]) -> Figure:
    """Draw a line for each class: a circle for its precision, a square for its recall, with their intervals.

    Classes that have no positives and are never predicted have neither, and no line.
    """
    rows = [row for row in rows if row.precision.value is not None or row.recall.value is not None]
    figure = new_figure(0.9 + 0.25 * len(rows), width=4.8)
    axes = figure.add_subplot()
    label_rows(axes, [f"{row.node}  {row.positives:,}" for row in rows])
    for name, marker, colour, shift in (
        ("precision", "o", LIGHT["ours"], -0.16),
        ("recall", "s", LIGHT["second"], 0.16),
    ):
        estimates: list[Estimate] = [getattr(row, name) for row in rows]
        low, value, high = np.array([(one.low, one.value, one.high) for one in estimates], dtype=float).T  # None: NaN
        heights = np.arange(len(rows)) + shift
        axes.hlines(heights, low, high, colors=colour, linewidth=1.4, alpha=0.7)
        axes.plot(value, heights, marker, color=colour, markersize=4.5, label=name, clip_on=False)
    axes.set(xlim=(0, 1), xlabel="share of labels, right or found")
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside upper left", ncols=2)
    return figure
