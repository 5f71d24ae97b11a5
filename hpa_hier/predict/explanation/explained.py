"""One sample with everything that its answer rests on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hpa_hier.ensemble.ensemble import Ensemble, Prediction
from hpa_hier.ensemble.scores.scores import Scores, align
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.metrics.logistic import expit


@dataclass(frozen=True)
class Explained:
    """A sample whose answer is to be explained.

    Attributes:
        ensemble: that answered.
        members: its members' scores of this one sample.
        source: the run.
        place: where the sample is from.
        annotated: names of the annotated nodes; None where there is no annotation.
        filled: channels that the image lacks, filled with zeros.
        available: (E, 1) which member knows the sample; None: all do.
        doubts: what is doubtful about the sample itself.
        notes: what to bear in mind about the ensemble.
        fallback: the most likely leaf where nothing with a label of its own is present, else "".
        safe: the deepest node whose precision target is met, or unsure; "" where there can be none.
    """

    ensemble: Ensemble
    members: tuple[Scores, ...]
    source: str = ""
    place: str = ""
    annotated: tuple[str, ...] | None = None
    filled: tuple[str, ...] = ()
    available: Bools | None = None
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    fallback: str = ""
    safe: str = ""

    @cached_property
    def scored(self) -> tuple[Scores, ...]:
        """The members' scores, members by name."""
        return align(self.members)

    @cached_property
    def prediction(self) -> Prediction:
        """The answer."""
        return self.ensemble.predict(self.scored, self.available)

    @cached_property
    def answered(self) -> Bools:
        """Nodes that some member answers for, (N,)."""
        covers = self.ensemble.combiner.layout.covers
        return np.asarray((covers if self.available is None else covers & self.available).any(axis=0))

    @cached_property
    def calibrated(self) -> Floats:
        """Each member's own calibrated probabilities, (E, N); NaN where it says nothing of a node."""
        spoken = self.ensemble.combiner.layout.covers
        if self.available is not None:
            spoken = spoken & self.available
        logits = np.array([row[0] for row in self.ensemble.combiner.calibrate(self.scored)])
        return np.where(spoken, expit(logits), np.nan)

    def prob(self, node: str) -> float:
        """Return the probability of a node, in [0, 1]."""
        return float(self.prediction.probs[0, self.ensemble.taxonomy.column[node]])

    def is_present(self, node: str) -> bool:
        """Tell whether a node is part of the answer."""
        return bool(self.prediction.present[0, self.ensemble.taxonomy.column[node]])


@dataclass(frozen=True)
class Picture:
    """A sample's image as members take it."""

    image: np.ndarray  # (C, S, S) uint8
    channels: tuple[str, ...]  # names along axis C
    missing: tuple[str, ...]  # channels that the sample lacks, zeros in the image
