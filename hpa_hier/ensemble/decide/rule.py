"""Threshold rules: what all rules that choose thresholds have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hpa_hier.data.labels.table import Targets
from hpa_hier.metrics.arrays import Floats
from hpa_hier.metrics.ranking import Ranked


@dataclass(frozen=True)
class ThresholdOptions:
    """What rules may ask for."""

    fixed: float = 0.5  # the value of the rule `fixed`
    small_class: int = (
        20  # nodes with fewer positives get the prevalence threshold under `f1`, the plugin one under `bagged`
    )
    resamples: int = 200  # for a threshold's interval; 0 for none
    level: tuple[int, ...] = ()  # (N,) plugin thresholds of nodes of one level are pulled together; empty: none is
    seed: int = 0  # of the resamples


@dataclass(frozen=True)
class Choice:
    """Thresholds (N,) and the name of the rule behind each: a rule may leave some nodes to another one."""

    values: Floats
    rules: tuple[str, ...]


@dataclass(frozen=True)
class Resamples:
    """Held-out samples, and how often each of R resamples holds each."""

    probs: Floats  # (B, N)
    targets: Targets  # (B, N)
    weights: NDArray[np.float32]  # (R, B) whole numbers
    whole_units: bool  # samples were drawn in groups, so that they are not independent

    def ranked(self) -> Ranked:
        """Rank the samples, and keep their order for the weights."""
        return Ranked.of(self.probs, self.targets.present, self.targets.known, ordered=True)


class ThresholdRule(ABC):
    """A rule. A new one is a class like this in a file of its own, and a row in `threshold_rules.THRESHOLDS`."""

    name: ClassVar[str]

    @abstractmethod
    def fit(self, ranked: Ranked, options: ThresholdOptions) -> Choice:
        """Choose every node's threshold on ranked samples."""

    def refit(self, resamples: Resamples, choice: Choice, options: ThresholdOptions) -> Floats:
        """Choose thresholds again on resamples, (R, N); nodes follow the rule that chose them on all samples."""
        probs, targets, found = resamples.probs, resamples.targets, []
        for weights in resamples.weights:
            rows = np.repeat(np.arange(len(weights)), weights.astype(np.intp))
            found.append(self.fit(Ranked.of(probs[rows], targets.present[rows], targets.known[rows]), options).values)
        return np.stack(found)
