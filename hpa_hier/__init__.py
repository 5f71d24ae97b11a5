"""hpa_hier: where in the cell a protein is, by a hierarchical, partitioned ensemble."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpa_hier.classifier.classifier import HierarchicalClassifier
    from hpa_hier.errors import UserError
    from hpa_hier.predict.answers import Answers
    from hpa_hier.predict.predictor import Predictor
    from hpa_hier.runs.run import Run
    from hpa_hier.taxonomy import Taxonomy

__version__ = "0.1.0"
__all__ = ["Answers", "HierarchicalClassifier", "Predictor", "Run", "Taxonomy", "UserError", "__version__"]

_HOMES = {  # imported when they are first asked for, so that `import hpa_hier` costs nothing
    "Answers": "hpa_hier.predict.answers",
    "HierarchicalClassifier": "hpa_hier.classifier.classifier",
    "Predictor": "hpa_hier.predict.predictor",
    "Run": "hpa_hier.runs.run",
    "Taxonomy": "hpa_hier.taxonomy",
    "UserError": "hpa_hier.errors",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'hpa_hier' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
