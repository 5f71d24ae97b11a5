"""The whole system as one scikit-learn estimator: members, folds, calibration, coherence and thresholds."""

from __future__ import annotations

from hpa_hier.classifier.classifier import HierarchicalClassifier

__all__ = ["HierarchicalClassifier"]
