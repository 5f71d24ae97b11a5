"""Table of figures: what the report shows; a new figure is one file and one row here."""

from __future__ import annotations

from hpa_hier.evaluate.figures.class_counts import CLASS_COUNTS
from hpa_hier.evaluate.figures.cooccurrence import COOCCURRENCE
from hpa_hier.evaluate.figures.figure import ReportFigure
from hpa_hier.evaluate.figures.precision_recall import PRECISION_RECALL
from hpa_hier.evaluate.figures.reliability import RELIABILITY
from hpa_hier.evaluate.figures.risk_coverage import RISK_COVERAGE
from hpa_hier.evaluate.figures.training_curves import TRAINING_CURVES

FIGURES: tuple[ReportFigure, ...] = (
    PRECISION_RECALL,
    RELIABILITY,
    RISK_COVERAGE,
    COOCCURRENCE,
    CLASS_COUNTS,
    TRAINING_CURVES,
)
