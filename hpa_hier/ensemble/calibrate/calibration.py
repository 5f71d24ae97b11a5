"""Calibration: what turns a member's logits into honest ones, node by node."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from hpa_hier.data.labels.table import Targets
from hpa_hier.metrics.arrays import Floats


@dataclass(frozen=True)
class Calibration(ABC):
    """A fitted rule: slope * logit + offset. A new one is a class like this and a row in `rules.CALIBRATIONS`."""

    name: ClassVar[str]

    nodes: tuple[str, ...]  # n node names
    slope: Floats  # (n,), above 0
    offset: Floats  # (n,)

    @classmethod
    @abstractmethod
    def fit(cls, nodes: tuple[str, ...], logits: Floats, targets: Targets, shrink: float) -> Self:
        """Fit the rule.

        Args:
            nodes: n node names.
            logits: (B, n).
            targets: (B, n); where not known, the sample does not count for the node.
            shrink: positives at which a node's own parameters count half.
        """

    def apply(self, logits: Floats) -> Floats:
        """Return calibrated logits (B, n) of logits (B, n), columns as `nodes`."""
        return np.asarray(logits * self.slope + self.offset)

    def to_json(self) -> dict[str, Any]:
        """Return slopes and offsets by node."""
        rows = zip(self.nodes, self.slope.tolist(), self.offset.tolist(), strict=True)
        return {node: {"slope": slope, "offset": offset} for node, slope, offset in rows}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """Return the rule as it was fitted."""
        slope, offset = (np.array([float(row[key]) for row in kept.values()]) for key in ("slope", "offset"))
        return cls(tuple(kept), slope, offset)


class Uncalibrated(Calibration):
    """Logits as they are."""

    name: ClassVar[str] = "none"

    @classmethod
    def fit(cls, nodes: tuple[str, ...], logits: Floats, targets: Targets, shrink: float) -> Self:
        """There is nothing to fit."""
        return cls(nodes, np.ones(len(nodes)), np.zeros(len(nodes)))
