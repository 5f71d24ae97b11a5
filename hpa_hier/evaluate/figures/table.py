"""Table: the figures of the report; a new one is one file and one row."""

from __future__ import annotations

from matplotlib.figure import Figure

from hpa_hier.evaluate.figures.class_counts import draw_class_counts
from hpa_hier.evaluate.figures.class_curve import MOST_CURVES, draw_class_curves, trace_class
from hpa_hier.evaluate.figures.confusion_matrix import draw_confusion_matrix, leaf_confusion
from hpa_hier.evaluate.figures.cooccurrence import draw_cooccurrence, leaf_cooccurrence
from hpa_hier.evaluate.figures.figure import ReportData, ReportFigure
from hpa_hier.evaluate.figures.precision_recall import draw_precision_recall, leaves_by_support
from hpa_hier.evaluate.figures.reliability import draw_reliability
from hpa_hier.evaluate.figures.risk_coverage import draw_risk_coverage
from hpa_hier.evaluate.figures.training_curves import draw_training_curves


def _draw_confusions(data: ReportData, *, alike: bool) -> Figure | None:
    taxonomy, confusion = data.evaluation.taxonomy, leaf_confusion(data.evaluation)
    if alike:
        return draw_confusion_matrix(confusion, taxonomy.leaves, confusion.order_alike().tolist())
    tops = [next(iter(taxonomy.ancestors(leaf)), leaf) for leaf in taxonomy.leaves]
    return draw_confusion_matrix(confusion, taxonomy.leaves, range(len(tops)), tops)


def _draw_curves(data: ReportData) -> Figure | None:
    rows = leaves_by_support(data.results.nodes)
    curves = [curve for row in rows if (curve := trace_class(data.evaluation, row))]
    return draw_class_curves(curves[:MOST_CURVES])


FIGURES = (
    ReportFigure(
        "precision-recall",
        "classes",
        lambda data: draw_precision_recall(leaves_by_support(data.results.nodes)),
        "Precision and recall of each class with intervals, the most frequent first; the table has the numbers",
    ),
    ReportFigure("class-curves", "classes", _draw_curves, "The precision-recall curves of all classes", inline=False),
    ReportFigure(
        "confusion-alike",
        "confusions",
        lambda data: _draw_confusions(data, alike=True),
        "Matrix of mistakes, classes that are taken for each other side by side; the table has the numbers",
    ),
    ReportFigure(
        "confusion-tree",
        "confusions",
        lambda data: _draw_confusions(data, alike=False),
        "Matrix of mistakes, classes in the order of the tree; the table has the numbers",
    ),
    ReportFigure(
        "reliability",
        "calibration",
        lambda data: draw_reliability(data.results.reliability),
        "Share of answers that is true over the probability given; the table has the numbers",
    ),
    ReportFigure(
        "risk-coverage",
        "safe",
        lambda data: draw_risk_coverage(data.results.risk, next(iter(data.results.safe), None)),
        "Share of wrong answers over the share of images answered, most confident images first",
    ),
    ReportFigure(
        "cooccurrence",
        "together",
        lambda data: draw_cooccurrence(leaf_cooccurrence(data.evaluation)),
        "Matrix of labels: pairs annotated below the diagonal, pairs predicted above it",
    ),
    ReportFigure(
        "class-counts",
        "data",
        lambda data: draw_class_counts(data.counts),
        "Training images of each class before and after balancing; the table has the numbers",
    ),
    ReportFigure(
        "training-curves",
        "training",
        lambda data: draw_training_curves(data.records),
        "Loss and macro F1 of each member over epochs; the table has the epoch that was kept",
    ),
)
