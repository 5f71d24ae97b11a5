"""Precision and recall of each class with intervals, the most frequent class first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hpa_hier.evaluate.figures.figure import ReportData, ReportFigure, label_rows, new_figure
from hpa_hier.evaluate.figures.palette import LIGHT
from hpa_hier.evaluate.results import Estimate, NodeRow


def leaves_by_support(nodes: Sequence[NodeRow]) -> list[NodeRow]:
    """Return the leaves, those with most positives first."""
    return sorted((row for row in nodes if row.leaf), key=lambda row: -row.positives)


def draw_precision_recall(rows: Sequence[NodeRow]) -> Figure:
    """Draw a line for each class: a circle for its precision, a square for its recall, with their intervals."""
    figure = new_figure(0.7 + 0.27 * len(rows))
    axes = figure.add_subplot()
    label_rows(axes, [f"{row.node}  {row.positives:,}" for row in rows])
    _draw_estimates(axes, [row.precision for row in rows], "precision", "o", LIGHT["ours"], -0.16)
    _draw_estimates(axes, [row.recall for row in rows], "recall", "s", LIGHT["second"], 0.16)
    axes.set_xlim(0, 1)
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def _draw_estimates(
    axes: Axes, estimates: Sequence[Estimate], name: str, marker: str, colour: str, shift: float
) -> None:
    low, value, high = np.array([(one.low, one.value, one.high) for one in estimates], dtype=float).T  # None: NaN
    rows = np.arange(len(estimates)) + shift
    axes.hlines(rows, low, high, colors=colour, linewidth=1.4, alpha=0.7)
    axes.plot(value, rows, marker, color=colour, markersize=4.5, label=name, clip_on=False)


PRECISION_RECALL = ReportFigure(
    name="precision-recall",
    section="classes",
    draw=lambda data: draw_precision_recall(leaves_by_support(data.results.nodes)),
    describe=lambda data: _describe(data),
)


def _describe(data: ReportData) -> str:
    count = sum(row.leaf for row in data.results.nodes)
    return f"Precision and recall of {count} classes with intervals, the most frequent first; the table has the numbers"
