"""Mean and concatenation: weighted sums whose weights follow from which member answers for what."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Self

import numpy as np

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.combine.aggregate import MemberLogits
from hpa_hier.ensemble.combine.logistic_stack import refine
from hpa_hier.ensemble.combine.weighted_sum import WeightedSum, concat_weights, mean_weights
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy


class Mean(WeightedSum):
    """The mean of the members that answer for a node, refined where the settings say so."""

    name: ClassVar[str] = "mean"
    _weigh: ClassVar[Callable[[Bools], Floats]] = staticmethod(mean_weights)

    @classmethod
    def fit(cls, logits: MemberLogits, targets: Targets, taxonomy: Taxonomy, settings: EnsembleSettings) -> Self:
        """Fit the refinement; without one there is nothing to fit."""
        weights = cls._weigh(logits.covers)
        if settings.refine:
            return cls(*refine(logits, targets, weights))
        return cls(weights, np.zeros(weights.shape[1]))


class Concat(Mean):
    """Each node from the member with the fewest nodes that answers for it: plain concatenation, a baseline.

    It takes conditional members' answers as they are, without the missing factor.
    """

    name: ClassVar[str] = "concat"
    uses_factors: ClassVar[bool] = False
    _weigh: ClassVar[Callable[[Bools], Floats]] = staticmethod(concat_weights)
