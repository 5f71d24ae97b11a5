"""Co-occurrence: which labels are annotated together, and which are predicted together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline

from hpa_hier.evaluate.figures.confusion_matrix import MOST, format_count
from hpa_hier.evaluate.figures.figure import new_figure
from hpa_hier.evaluate.figures.palette import LIGHT, STEPS, ramp, readable_ink
from hpa_hier.metrics.arrays import Bools
from hpa_hier.runs.evaluation import Evaluation

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pair:
    """Two labels and in how many images they are annotated and predicted together."""

    one: str
    other: str
    annotated: int
    predicted: int


@dataclass(frozen=True)
class Cooccurrence:
    """Images that carry both labels; on the diagonal, one label."""

    names: tuple[str, ...]
    annotated: Counts  # (L, L)
    predicted: Counts  # (L, L)

    def choose(self, most: int) -> Cooccurrence:
        """Return the pairs of the `most` labels that occur most often, in the same order; of none that never occur."""
        often = np.diag(self.annotated) + np.diag(self.predicted)
        chosen = np.sort(np.argsort(-often, kind="stable")[:most])
        chosen = chosen[often[chosen] > 0]
        cut = np.ix_(chosen, chosen)
        return Cooccurrence(tuple(self.names[j] for j in chosen), self.annotated[cut], self.predicted[cut])

    def frequent_pairs(self, number: int = 10) -> list[Pair]:
        """Return the pairs that are most often annotated together."""
        rows, columns = np.tril_indices(len(self.names), -1)
        order = np.argsort(-self.annotated[rows, columns], kind="stable")[:number]
        return [
            Pair(self.names[j], self.names[i], int(self.annotated[i, j]), int(self.predicted[i, j]))
            for i, j in zip(rows[order], columns[order], strict=True)
            if self.annotated[i, j]
        ]


def count_pairs(names: Sequence[str], targets: Bools, present: Bools) -> Cooccurrence:
    """Count which of L labels occur together in the (B, L) annotation and in the (B, L) decisions.

    >>> both = np.array([[True, True], [True, False]])
    >>> count_pairs(("Cytosol", "Nucleoli"), both, both).annotated
    array([[2, 1],
           [1, 1]])
    """
    true, predicted = targets.astype(np.int64), present.astype(np.int64)
    return Cooccurrence(tuple(names), true.T @ true, predicted.T @ predicted)


def leaf_cooccurrence(evaluation: Evaluation) -> Cooccurrence:
    """Count pairs of leaves in an evaluation, where the annotation is known."""
    leaves, known = evaluation.leaf_columns, evaluation.known
    targets, present = evaluation.targets & known, evaluation.ensemble.present & known
    return count_pairs(evaluation.taxonomy.leaves, targets[:, leaves], present[:, leaves])


def draw_cooccurrence(pairs: Cooccurrence) -> Figure:
    """Draw annotated pairs below the diagonal and predicted pairs above it, on a logarithmic colour scale.

    The count is in each cell. Labels that never occur are left out, and of many the rarest.
    """
    pairs = pairs.choose(MOST)
    many = len(pairs.names)
    counts = np.tril(pairs.annotated) + np.triu(pairs.predicted, 1)
    most = max(1, int(counts[~np.eye(many, dtype=bool)].max(initial=0)))
    steps = np.round((STEPS - 1) * np.minimum(np.log1p(counts) / np.log1p(most), 1)).astype(int)
    steps[(counts > 0) & (steps == 0)] = 1
    figure = new_figure(2.3 + 0.2 * max(many, 8), width=3.4 + 0.2 * max(many, 8))
    axes = figure.add_subplot()
    colours = ramp("light")
    corners = np.array([(0.05, 0.05), (0.95, 0.05), (0.95, 0.95), (0.05, 0.95)])
    for step in np.unique(steps[steps > 0]):  # one outline a step: a tenth of the bytes of one a cell
        squares = corners + np.argwhere(steps == step)[:, None, ::-1]
        axes.add_patch(PathPatch(Outline.make_compound_path_from_polys(squares), color=colours[step], linewidth=0))
    for i, j in np.argwhere(counts > 0):
        ink = readable_ink(colours[steps[i, j]])
        axes.text(j + 0.5, i + 0.54, format_count(counts[i, j]), color=ink, size=5.5, ha="center", va="center")
    axes.plot((0, many), (0, many), color=LIGHT["soft"], linewidth=0.8)
    axes.set(xlim=(0, max(many, 1)), ylim=(max(many, 1), 0), aspect="equal")
    axes.set_xticks(np.arange(many) + 0.5, pairs.names, rotation=90)
    axes.set_yticks(np.arange(many) + 0.5, pairs.names)
    axes.set(xlabel="above the diagonal: predicted together", ylabel="below the diagonal: annotated together")
    axes.xaxis.tick_top()
    axes.tick_params(labelsize=7, labelcolor=LIGHT["ink"])
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    _add_key(figure, axes, most, colours)
    return figure


def _add_key(figure: Figure, axes: Axes, most: int, colours: Sequence[str]) -> None:
    """Draw the colour scale with the counts at which its steps begin."""
    bounds = np.expm1(np.linspace(0.5, STEPS - 0.5, STEPS) / (STEPS - 1) * np.log1p(most))
    scale = ScalarMappable(BoundaryNorm(bounds, STEPS - 1), ListedColormap(list(colours[1:])))
    key = figure.colorbar(scale, ax=axes, shrink=0.4, aspect=18, label="images")
    key.set_ticks([float(bound) for bound in bounds[1:-1:2]], labels=[f"{bound:.0f}" for bound in bounds[1:-1:2]])
    key.outline.set_visible(False)
