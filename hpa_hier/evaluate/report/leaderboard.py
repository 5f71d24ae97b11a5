"""Leaderboard: the ensemble and what it is compared with, with what each costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpa_hier.evaluate import describe
from hpa_hier.evaluate.report import opening
from hpa_hier.evaluate.results import Results


@dataclass(frozen=True)
class Cost:
    """What networks cost to train, summed; None where it is not known of all."""

    networks: int
    images_seen: float | None
    seconds: float | None


@dataclass(frozen=True)
class Leaderboard:
    """What the section shows."""

    results: Results
    systems: Mapping[str, str]  # those shown beside each other, with their headings
    part: str  # which samples were measured on
    comparison: str  # with the flat ensemble, in words
    cost: Cost
    baseline_cost: Cost


def compare_systems(results: Results) -> Leaderboard:
    """Collect what the leaderboard shows."""
    return Leaderboard(
        results,
        describe.system_columns(results),
        describe.describe_part(results.scope),
        opening.describe_comparison(results),
        total_cost(results.scope.members),
        total_cost(results.scope.baseline_members),
    )


def total_cost(members: Mapping[str, Mapping[str, Any]]) -> Cost:
    """Add up what networks cost to train.

    >>> total_cost({"a": {"seconds": 2.0, "images_seen": 10}, "b": {"seconds": 3.0}})
    Cost(networks=2, images_seen=None, seconds=5.0)
    """

    def total(key: str) -> float | None:
        values = [about.get(key) for about in members.values()]
        return float(sum(v for v in values if v is not None)) if values and None not in values else None

    return Cost(len(members), total("images_seen"), total("seconds"))
