"""Estimate: one system's metrics, each with its interval, and what its differences to another system say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hpa_hier.evaluate.measure import SystemMeasure
from hpa_hier.evaluate.results import Estimate, NodeEstimates, Verdict
from hpa_hier.metrics.compare import Difference, holm
from hpa_hier.metrics.groups import FEWEST_UNITS
from hpa_hier.metrics.influence import Measured, interval

HANDFUL = 10  # samples, below which nothing is said of a class: if all were found, a 95 % interval still begins at 0.72


@dataclass(frozen=True)
class System:
    """One system's metrics with their intervals."""

    measure: SystemMeasure

    def estimate(self, key: str, largest: float = 1) -> Estimate:
        """Estimate a metric between 0 and `largest`."""
        return self._estimates(self._measured[key], largest)[0]

    def compare(self, other: System, key: str) -> Difference | None:
        """Compare a metric with another system's; None where both give the same answers, and nothing can differ."""
        ours, theirs = self.measure.answers, other.measure.answers
        if np.array_equal(ours.probs, theirs.probs) and np.array_equal(ours.present, theirs.present):
            return None
        return Difference.between(self._measured[key], other._measured[key], self.measure.sampling)

    def minus(self, other: System, key: str, largest: float = 1) -> Estimate:
        """Estimate the paired difference in a metric between 0 and `largest`; 0 without interval for same answers."""
        difference = self.compare(other, key)
        if difference is None:
            return Estimate(0.0)
        low, high = np.clip(difference.interval(), -largest, largest)
        return Estimate(*map(plain, (difference.value, low, high)))

    def node_estimates(self) -> list[NodeEstimates]:
        """Estimate each node's metrics."""
        columns = [self._estimates(self._measured[key]) for key in NodeEstimates.__dataclass_fields__]
        return [NodeEstimates(*row) for row in zip(*columns, strict=True)]

    @cached_property
    def _measured(self) -> Mapping[str, Measured]:
        return self.measure.measured

    def _estimates(self, one: Measured, largest: float = 1) -> list[Estimate]:
        low, high = interval(one, self.measure.sampling, largest)
        return [Estimate(*map(plain, row)) for row in zip(*map(np.atleast_1d, (one.value, low, high)), strict=True)]


def plain(value: float) -> float | None:
    """Return a number as results hold it: None where it is not finite."""
    return float(value) if math.isfinite(value) else None


def judge(
    differences: Mapping[str, tuple[Difference | None, bool]], level: float, fewest: int = FEWEST_UNITS
) -> dict[str, Verdict]:
    """Judge all differences of one table, so that a table calls anything by chance in at most 1 − level of cases.

    Args:
        differences: key → the paired difference, None for the same answers, and whether higher is better.
        level: of the intervals, in (0, 1).
        fewest: units, below which nothing is judged.

    Returns:
        Key → verdict; none for a difference that is not defined.
    """
    # the leaves' level is the headline again: what has the same value and error is one comparison, counted once
    once = {(one.value, one.error): one for one, _ in differences.values() if one is not None}
    distinct = [one for one in once.values() if math.isfinite(one.value)]
    p_values = [one.p_value() for one in distinct]
    chosen = {(one.value, one.error) for one, clear in zip(distinct, holm(p_values, 1 - level), strict=True) if clear}
    verdicts: dict[str, Verdict] = {}
    for key, (one, higher_is_better) in differences.items():
        if one is None:
            verdicts[key] = "same answers"
        elif not math.isfinite(one.value):
            continue
        elif one.sampling.units < fewest:
            verdicts[key] = "too few to tell"
        elif (one.value, one.error) not in chosen:
            verdicts[key] = "no clear difference"
        else:
            verdicts[key] = "better" if (one.value > 0) == higher_is_better else "worse"
    return verdicts
