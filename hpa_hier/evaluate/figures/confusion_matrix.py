"""Confusion matrix: what is called in place of what, as shares of each class's images, with the counts in the cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from numpy.typing import NDArray

from hpa_hier.evaluate.figures.figure import new_figure
from hpa_hier.evaluate.figures.palette import LIGHT, ramp, ramp_step, readable_ink
from hpa_hier.metrics.confusion import Confusion, confuse
from hpa_hier.runs.evaluation import Evaluation

MOST = 36  # classes that can be read in one figure
_NOTHING = ("nothing called", "nothing missed")  # the last column, the last row


def leaf_confusion(evaluation: Evaluation) -> Confusion:
    """Count what of the leaves is called in place of what."""
    leaves = evaluation.leaf_columns
    parts = (evaluation.ensemble.present, evaluation.targets, evaluation.known)
    return confuse(*(part[:, leaves] for part in parts))


def choose_classes(confusion: Confusion, order: Sequence[int], most: int = MOST) -> list[int]:
    """Return the classes that the figure shows, in the order given.

    Args:
        confusion: of all classes.
        order: their columns.
        most: classes that are shown: those that are missed or called wrongly most often, of those that occur at all.
    """
    mistakes = confusion.positives + confusion.called - 2 * confusion.found
    there = np.flatnonzero(confusion.positives + confusion.called)
    chosen = set(there[np.argsort(-mistakes[there], kind="stable")][:most].tolist())
    return [j for j in order if j in chosen]


def draw_confusion_matrix(
    confusion: Confusion, names: Sequence[str], order: Sequence[int], groups: Sequence[str] = ()
) -> Figure | None:
    """Draw the matrix: a row is what the images are, a column what was called.

    A cell's colour is its share of the row's images, its number how many they are; the last column is what was missed
    with nothing called in its place, the last row what was called where nothing was missed.

    Args:
        confusion: of all classes.
        names: of all classes.
        order: columns of the classes to draw, as rows from the top.
        groups: of all classes: a line is drawn between different ones; (): none.
    """
    chosen = choose_classes(confusion, order)
    if not chosen:
        return None
    counts = _cut(confusion, chosen)
    many = len(chosen)
    figure = new_figure(2.3 + 0.21 * many, width=2.8 + 0.21 * many)
    axes = figure.add_subplot()
    totals = np.append(confusion.positives[chosen], max(1.0, counts[-1].sum()))
    shares = counts / np.maximum(totals, 1)[:, None]
    shares[-1] = 0  # what is called where nothing was missed is a share of no images
    colours = ramp("light")
    steps = np.vectorize(ramp_step)(shares)
    steps[(counts >= 0.05) & (steps == 0)] = 1
    corners = np.array([(0.04, 0.04), (0.96, 0.04), (0.96, 0.96), (0.04, 0.96)])
    for step in np.unique(steps[steps > 0]):
        cells = corners + np.argwhere(steps == step)[:, None, ::-1]
        axes.add_patch(PathPatch(Outline.make_compound_path_from_polys(cells), color=colours[step], linewidth=0))
    for i, j in np.argwhere(counts >= 0.05):
        ink = readable_ink(colours[steps[i, j]])
        axes.text(j + 0.5, i + 0.54, format_count(counts[i, j]), color=ink, size=5.5, ha="center", va="center")
    lines = [k for k in range(1, many) if groups and groups[chosen[k]] != groups[chosen[k - 1]]]
    axes.hlines([many, *lines], 0, many + 1, colors=LIGHT["soft"], linewidth=0.6)
    axes.vlines([many, *lines], 0, many + 1, colors=LIGHT["soft"], linewidth=0.6)
    axes.set(xlim=(0, many + 1), ylim=(many + 1, 0), aspect="equal")
    axes.set_xticks(np.arange(many + 1) + 0.5, [*(names[j] for j in chosen), _NOTHING[0]], rotation=90)
    rows = [f"{names[j]}  {confusion.positives[j]:,}" for j in chosen]
    axes.set_yticks(np.arange(many + 1) + 0.5, [*rows, _NOTHING[1]])
    axes.set(xlabel="called", ylabel="annotated, with the number of images")
    axes.xaxis.set_label_position("top")
    axes.xaxis.tick_top()
    axes.tick_params(labelsize=7, labelcolor=LIGHT["ink"])
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    return figure


def _cut(confusion: Confusion, chosen: Sequence[int]) -> NDArray[np.float64]:
    """Return the matrix of some classes with its last row and column."""
    whole = confusion.matrix()
    kept = [*chosen, len(whole) - 1]
    return np.asarray(whole[np.ix_(kept, kept)])


def format_count(count: float) -> str:
    """Write a number of images that may be a share of one.

    >>> format_count(9.0), format_count(2.5), format_count(0.333), format_count(12345.0)
    ('9', '2.5', '0.3', '12k')
    """
    if count >= 1000:
        return f"{count / 1000:.0f}k" if count >= 10_000 else f"{count / 1000:.1f}k"
    return f"{count:.1f}".removesuffix(".0")
