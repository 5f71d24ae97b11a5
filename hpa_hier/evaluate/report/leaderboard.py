"""Leaderboard: the ensemble, what it is compared with and each member alone, with what each costs, and the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.evaluate import describe
from hpa_hier.evaluate.figures import palette
from hpa_hier.evaluate.report.opening import describe_comparison, name_level
from hpa_hier.evaluate.results import Results
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.taxonomy import Taxonomy

SHOWN = ("macro_f1", "mean_ap", "log_loss")  # of systems and of members alone


@dataclass(frozen=True)
class Cost:
    """What networks cost to train, summed; None where it is not known of all."""

    networks: int
    parameters: float | None
    images_seen: float | None
    seconds: float | None


@dataclass(frozen=True)
class Weight:
    """What one member counts for a node."""

    value: float  # 0: it is not used
    step: int  # of the colour ramp, by its size among all of the table


@dataclass(frozen=True)
class WeightRow:
    """What each member counts for a node, or on average for the nodes of a level."""

    name: str
    leaf: bool
    depth: int  # 1 at the top; 0: a level
    weights: tuple[Weight | None, ...]  # by member; None: it does not answer


@dataclass(frozen=True)
class Weights:
    """What members count in an ensemble."""

    members: tuple[str, ...]
    levels: tuple[WeightRow, ...]  # shares of the sizes of weights, averaged over a level's nodes
    rows: tuple[WeightRow, ...]  # of nodes, in the order of the tree
    words: str  # what the weights are of, or why there are none


@dataclass(frozen=True)
class Leaderboard:
    """What the section shows."""

    results: Results
    systems: Mapping[str, str]  # those shown beside each other, with their headings
    part: str  # which samples were measured on
    comparison: str  # with the flat ensemble, in words
    cost: Cost
    baseline_cost: Cost
    costs: Mapping[str, Cost]  # of each member
    weights: Weights | None  # None where the ensemble is not there

    @property
    def matched(self) -> bool:
        """Whether both sides have as many networks."""
        return self.cost.networks == self.baseline_cost.networks


def compare_systems(results: Results, taxonomy: Taxonomy, ensemble: Ensemble | None = None) -> Leaderboard:
    """Collect what the leaderboard shows.

    Args:
        results: of the evaluation.
        taxonomy: the label tree.
        ensemble: that was evaluated, for its weights; None: not there.
    """
    scope = results.scope
    members = {**scope.members, **scope.baseline_members}
    return Leaderboard(
        results=results,
        systems=describe.system_columns(results),
        part=describe.describe_part(scope),
        comparison=describe_comparison(results),
        cost=total_cost(scope.members),
        baseline_cost=total_cost(scope.baseline_members),
        costs={name: total_cost({name: about}) for name, about in members.items()},
        weights=list_weights(ensemble, taxonomy, results) if ensemble else None,
    )


def total_cost(members: Mapping[str, Mapping[str, Any]]) -> Cost:
    """Add up what networks cost to train.

    >>> total_cost({"a": {"seconds": 2.0, "images_seen": 10}, "b": {"seconds": 3.0}})
    Cost(networks=2, parameters=None, images_seen=None, seconds=5.0)
    """

    def total(key: str) -> float | None:
        values = [about.get(key) for about in members.values()]
        return float(sum(v for v in values if v is not None)) if values and None not in values else None

    return Cost(len(members), total("parameters"), total("images_seen"), total("seconds"))


def list_weights(ensemble: Ensemble, taxonomy: Taxonomy, results: Results) -> Weights:
    """List what members count for each node, and for each level; no rows where the aggregate has no such weights."""
    layout, weights = ensemble.combiner.layout, ensemble.combiner.aggregate.weights
    if weights is None:
        why = f"The aggregate {ensemble.aggregate} gives members no weight by node"
        return Weights(layout.members, (), (), f"{why}: {ensemble.combiner.aggregate.summary}.")
    column = ensemble.taxonomy.column
    largest = float(np.abs(weights).max(initial=0.0)) or 1.0
    rows = tuple(
        WeightRow(
            node,
            taxonomy.is_leaf(node),
            taxonomy.depth(node),
            _weigh(weights[:, column[node]], layout.covers[:, column[node]], largest),
        )
        for node in taxonomy.nodes
        if layout.covers[:, column[node]].any()
    )
    share = np.abs(weights) / np.maximum(np.abs(weights).sum(axis=0), 1e-12)
    levels = []
    for level in results.levels:
        columns = [column[node] for node in level.nodes if layout.covers[:, column[node]].any()]
        if columns:
            mean = share[:, columns].mean(axis=1)
            covered = np.asarray(layout.covers[:, columns].any(axis=1))
            levels.append(WeightRow(name_level(level), False, 0, _weigh(mean, covered, 1.0)))
    words = f"The aggregate {ensemble.aggregate}: {ensemble.combiner.aggregate.summary}."
    return Weights(layout.members, tuple(levels), rows, words)


def _weigh(values: Floats, covers: Bools, largest: float) -> tuple[Weight | None, ...]:
    return tuple(
        Weight(float(value), palette.ramp_step(abs(float(value)) / largest)) if there else None
        for value, there in zip(values, covers, strict=True)
    )
