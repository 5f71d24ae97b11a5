"""Decision: from probabilities to labels that never contradict the tree, and to safe answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.decide.rule import ThresholdOptions
from hpa_hier.ensemble.decide.safe import SafeAnswers, SafeRule
from hpa_hier.ensemble.decide.threshold_rules import THRESHOLDS
from hpa_hier.ensemble.decide.thresholds import Thresholds, fit_thresholds
from hpa_hier.ensemble.rules import choose
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

Units = NDArray[np.int64]


@dataclass(frozen=True)
class Decision:
    """Thresholds, closure under the tree (the true-path rule), and safe answers; each sample on its own."""

    taxonomy: Taxonomy  # the label tree; all columns are as its nodes
    thresholds: Thresholds  # one for every node
    safe: SafeRule  # which of what is present is the safe answer

    @classmethod
    def fit(
        cls, probs: Floats, targets: Targets, taxonomy: Taxonomy, settings: EnsembleSettings, units: Units | None = None
    ) -> Self:
        """Fit on probabilities that were not fitted on the same samples.

        Args:
            probs: (B, N) reconciled.
            targets: (B, N).
            taxonomy: the label tree.
            settings: the rule, its options, and the precision of safe answers.
            units: (B,) numbers of what is resampled whole for thresholds' intervals; None: each sample alone.

        Raises:
            UserError: a rule is unknown, or a threshold set by hand is for no node.
        """
        options = ThresholdOptions(settings.fixed_threshold, settings.small_class_positives, settings.bootstrap)
        rule = choose(THRESHOLDS, settings.thresholds, "thresholds")
        fitted = fit_thresholds(rule, taxonomy.nodes, probs, targets, options, units)
        thresholds = fitted.set_by_hand(settings.hand_thresholds)
        present = taxonomy.close(thresholds.apply(probs))
        return cls(taxonomy, thresholds, SafeRule.fit(probs, targets, present, taxonomy, settings.safe_precision))

    def decide(self, probs: Floats) -> tuple[Bools, SafeAnswers]:
        """Decide for probabilities (B, N): labels, closed under the tree under any thresholds, and safe answers."""
        present = self.taxonomy.close(self.thresholds.apply(probs))
        return present, self.safe.answer(probs, present, self.taxonomy)
