"""Precision over recall of one class at every threshold, with the point where it is called marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hpa_hier.evaluate.figures.figure import inline_svg, new_figure, style
from hpa_hier.evaluate.figures.palette import LIGHT
from hpa_hier.evaluate.results import Estimate, NodeRow
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.runs.evaluation import Evaluation

_POINTS = 60  # of a curve that are drawn; more cannot be seen
_SIDE = 2.6  # inches, height of one curve
_FRAME = (0.17, 0.19, 0.8, 0.78)  # left, bottom, width and height of its axes, shares of the whole
_TOP = 1.02  # of both axes
_VIEW = f"0 0 {72 * 1.25 * _SIDE:g} {72 * _SIDE:g}"
MOST_CURVES = 100  # in one figure
_IN_A_ROW = 4  # curves, where all classes are one figure


@dataclass(frozen=True)
class ClassCurve:
    """One class's curve and the point on it that the threshold chose."""

    node: str
    recall: Floats  # (P,) rising
    precision: Floats  # (P,)
    share: float  # of samples that carry the class: the precision of calling it always
    row: NodeRow


def trace_curve(scores: Floats, hits: Bools, most: int = _POINTS) -> tuple[Floats, Floats]:
    """Return recall and precision of calling the samples from the highest score down to each threshold.

    Of thresholds of one recall, the one of most precision is kept: drawn as steps, the area below is the average
    precision.

    Args:
        scores: (B,) that rank the samples.
        hits: (B,) whether each carries the class; at least one does.
        most: points that are returned; where there are more, evenly spaced ones, the ends among them.

    Returns:
        Recall, rising, and precision; (P,) each.

    >>> trace_curve(np.array([0.9, 0.8, 0.8, 0.1]), np.array([True, False, True, False]))
    (array([0.5, 1. ]), array([1.        , 0.66666667]))
    """
    order = np.argsort(-scores, kind="stable")
    ranked, found = scores[order], np.cumsum(hits[order])
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # a threshold lies between different scores only
    ends = ends[found[ends] > 0]
    ends = ends[np.unique(found[ends], return_index=True)[1]]
    kept = ends[np.unique(np.linspace(0, len(ends) - 1, min(len(ends), most)).round().astype(int))]
    return found[kept] / found[-1], found[kept] / (kept + 1)


def trace_class(evaluation: Evaluation, row: NodeRow) -> ClassCurve | None:
    """Return a class's curve; None where no sample carries it, or every one does."""
    column, answers = evaluation.taxonomy.column[row.node], evaluation.ensemble
    known = evaluation.known[:, column]
    hits = evaluation.targets[known, column]
    if not hits.any() or hits.all():
        return None
    ranking = answers.probs if answers.ranking is None else answers.ranking
    return ClassCurve(row.node, *trace_curve(ranking[known, column], hits), float(hits.mean()), row)


def draw_frame() -> Figure:
    """Draw the axes that every class's curve has, without a curve."""
    figure = new_figure(_SIDE, width=1.25 * _SIDE, fixed=True)
    _label(figure.add_axes(_FRAME))
    return figure


def frame_svg(name: str) -> str:
    """Return the frame as an SVG symbol that curves refer to: drawn once, however many classes there are."""
    with style():
        svg = inline_svg(draw_frame(), name, "")
    body = svg[svg.index("</title>") + len("</title>") : -len("</svg>")]
    return f'<svg class="hidden" aria-hidden="true"><symbol id="{name}" viewBox="{_VIEW}">{body}</symbol></svg>'


def curve_svg(curve: ClassCurve, frame: str, description: str) -> str:
    """Return a curve as SVG over the frame of this name: its line, its chance level, and the threshold's point."""
    across, up = _place(np.array([0, *curve.recall, 1])), _place(np.array([*_steps(curve)]), upward=True)
    line = f"M{across[0]:g} {up[0]:g}" + "".join(
        f"{'' if y == before else f'V{y:g}'}H{x:g}" for x, y, before in zip(across[1:], up[1:], up, strict=False)
    )
    chance = _place(np.array([curve.share]), upward=True)[0]
    end = _place(np.array([1.0]))[0]
    parts = [
        f'<use href="#{frame}"/>',
        f'<path class="chance" d="M{across[0]:g} {chance:g}H{end:g}"/>',
        f'<path class="curve" d="{line}V{chance:g}"/>',
        _mark(curve.row),
    ]
    return f'<svg class="chart" viewBox="{_VIEW}" role="img"><title>{escape(description)}</title>{"".join(parts)}</svg>'


def _steps(curve: ClassCurve) -> Floats:
    """Return the precision that holds up to each recall of the line, its start and its end among them."""
    return np.concatenate([curve.precision[:1], curve.precision, curve.precision[-1:]])


def _mark(row: NodeRow) -> str:
    """Return the threshold's point with its intervals as SVG."""
    precision, recall = row.precision, row.recall
    if precision.value is None or recall.value is None:
        return ""
    x, y = _place(np.array([recall.value]))[0], _place(np.array([precision.value]), upward=True)[0]
    bars = ""
    if recall.low is not None and recall.high is not None:
        low, high = _place(np.array([recall.low, recall.high]))
        bars += f"M{low:g} {y:g}H{high:g}"
    if precision.low is not None and precision.high is not None:
        low, high = _place(np.array([precision.low, precision.high]), upward=True)
        bars += f"M{x:g} {low:g}V{high:g}"
    lines = f'<path class="bars" d="{bars}"/>' if bars else ""
    return f'{lines}<path class="at" d="M{x:g} {y - 4:g}l4 4l-4 4l-4 -4z"/>'


def _place(values: Floats, *, upward: bool = False) -> Floats:
    """Return where values in [0, 1] are in the frame, in points from its left or its top."""
    start, width = (_FRAME[1], _FRAME[3]) if upward else (_FRAME[0], _FRAME[2])
    share = start + width * values / _TOP
    points = 72 * _SIDE * (1 - share) if upward else 72 * 1.25 * _SIDE * share
    return np.asarray(points.round(1))


def draw_class_curves(curves: Sequence[ClassCurve]) -> Figure | None:
    """Draw every class's curve in one figure, for a paper."""
    if not curves:
        return None
    rows = ceil(len(curves) / _IN_A_ROW)
    figure = new_figure(2.1 * rows + 0.3, width=2.1 * _IN_A_ROW, fixed=True)
    inches = figure.get_figheight()
    figure.subplots_adjust(0.06, 0.4 / inches, 0.99, 1 - 0.25 / inches, wspace=0.3, hspace=0.55)
    grid = figure.subplots(rows, _IN_A_ROW, squeeze=False)
    for axes in grid.ravel()[len(curves) :]:
        axes.remove()
    for axes, curve in zip(grid.ravel(), curves, strict=False):
        _draw(axes, curve)
        axes.set_title(f"{curve.node} ({curve.row.positives:,})", fontsize=7)
    return figure


def _draw(axes: Axes, curve: ClassCurve) -> None:
    axes.axhline(curve.share, color=LIGHT["soft"], linewidth=0.9, linestyle=(0, (1, 3)))
    line = ([0, *curve.recall, 1], [curve.precision[0], *curve.precision, curve.share])  # at last all are called
    axes.plot(*line, color=LIGHT["ours"], drawstyle="steps-pre", linewidth=1.6)
    precision, recall = curve.row.precision, curve.row.recall
    if precision.value is not None and recall.value is not None:
        across, up = _bars(recall), _bars(precision)
        axes.plot([recall.value], [precision.value], "D", color=LIGHT["ink"], markersize=5, clip_on=False)
        axes.errorbar(
            recall.value, precision.value, up, across, fmt="none", ecolor=LIGHT["ink"], elinewidth=1, clip_on=False
        )
    _label(axes)


def _label(axes: Axes) -> None:
    axes.set(xlim=(0, _TOP), ylim=(0, _TOP), xlabel="recall", ylabel="precision")
    axes.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
    axes.set_yticks((0, 0.5, 1), ("0", "0.5", "1"))


def _bars(estimate: Estimate) -> list[list[float]] | None:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    return [[max(0.0, estimate.value - estimate.low)], [max(0.0, estimate.high - estimate.value)]]
