"""Classes: a part of the page for each class, with its curve, its mistakes in words, and its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpa_hier.evaluate.figures.class_curve import curve_svg, frame_svg, trace_class
from hpa_hier.evaluate.figures.confusion_matrix import leaf_confusion
from hpa_hier.evaluate.figures.precision_recall import leaves_by_support
from hpa_hier.evaluate.gallery.cards import Gallery, Shelf
from hpa_hier.evaluate.report.confusions import describe_mistakes
from hpa_hier.evaluate.report.tree import class_anchor
from hpa_hier.evaluate.results import NodeRow, Results
from hpa_hier.runs.evaluation import Evaluation

FRAME = "curve-frame"  # identifier of the axes in the page
_CURVES = 500_000  # characters of the page that curves may take; of the rarest classes there are none where many have
_OPEN = 6  # classes, where no more are there they stand open


@dataclass(frozen=True)
class ClassPart:
    """One class."""

    anchor: str
    row: NodeRow
    path: str  # the groups above it, as in "Secretory › Vesicles"
    curve: str  # SVG; "" where there is none
    sentences: tuple[str, ...]  # on its mistakes
    shelves: tuple[Shelf, ...]

    @property
    def calls(self) -> int:
        """How often it was called."""
        return self.row.tp + self.row.fp


@dataclass(frozen=True)
class Classes:
    """What the section shows."""

    parts: tuple[ClassPart, ...]  # classes that have images or were called
    rows: Sequence[NodeRow]  # of all classes
    silent: tuple[str, ...]  # classes that neither have images nor were called
    gallery: Gallery
    missing: str  # why there are no pictures
    percent: str  # of the intervals
    anchors: dict[str, str]  # of the classes that have a part
    frame: str  # SVG that the curves refer to; "" where there are none

    @property
    def open(self) -> bool:
        """Whether all parts stand open."""
        return len(self.parts) <= _OPEN


def anchor(evaluation: Evaluation, node: str) -> str:
    """Return the address of a class's part within the page."""
    return class_anchor(evaluation.taxonomy, node)


def list_classes(evaluation: Evaluation, results: Results, gallery: Gallery, missing: str) -> Classes:
    """Collect what the section shows, the most frequent class first."""
    taxonomy, confusion = evaluation.taxonomy, leaf_confusion(evaluation)
    rows = leaves_by_support(results.nodes)
    there = [row for row in rows if row.positives or row.tp + row.fp]
    curves = draw_curves(evaluation, there)
    parts = tuple(
        ClassPart(
            anchor=anchor(evaluation, row.node),
            row=row,
            path=" › ".join(_above(evaluation, row.node)),
            curve=curves.get(row.node, ""),
            sentences=describe_mistakes(confusion, taxonomy.leaves, taxonomy.leaves.index(row.node)),
            shelves=gallery.shelves.get(row.node, ()),
        )
        for row in there
    )
    return Classes(
        parts=parts,
        rows=rows,
        silent=tuple(row.node for row in rows if row not in there),
        gallery=gallery,
        missing=missing,
        percent=f"{100 * results.scope.interval:g}",
        anchors={part.row.node: part.anchor for part in parts},
        frame=frame_svg(FRAME) if curves else "",
    )


def draw_curves(evaluation: Evaluation, rows: Sequence[NodeRow], budget: int = _CURVES) -> dict[str, str]:
    """Draw the precision-recall curves of classes as SVG, the first ones where all are too many for the page."""
    drawn: dict[str, str] = {}
    for row in rows:
        curve = trace_class(evaluation, row)
        if curve is None:
            continue
        words = f"Precision over recall of {row.node}; the mark is at the threshold, its lines are intervals"
        svg = curve_svg(curve, FRAME, words)
        budget -= len(svg)
        if budget < 0:
            break
        drawn[row.node] = svg
    return drawn


def _above(evaluation: Evaluation, node: str) -> list[str]:
    """Return the groups above a node, the top first, along the path that the file has."""
    above: list[str] = []
    home = evaluation.taxonomy.node(node).home
    while home is not None:
        above.insert(0, home)
        home = evaluation.taxonomy.node(home).home
    return above
