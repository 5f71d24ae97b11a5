"""Thresholds: one for every node, fitted on held-out probabilities, each with its bootstrap interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.combine.propagate import move_odds
from hpa_hier.ensemble.decide.rule import Resamples, ThresholdOptions, ThresholdRule
from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.metrics.bootstrap import resamples
from hpa_hier.metrics.ranking import Ranked

INTERVAL = (0.025, 0.975)  # quantiles of a threshold's bootstrap interval
NEVER: Final = "never"  # as a rule: there was no positive to learn from, so no probability is high enough
HALF: Final = "half"  # as a rule: the node is not told apart, so it must be likelier than not


@dataclass(frozen=True)
class Thresholds:
    """What a node's probability must reach for the node to be present."""

    nodes: tuple[str, ...]  # N node names
    values: Floats  # (N,) in [0, 1], or the next number above 1 where nothing may be present
    rules: tuple[str, ...]  # the rule behind each value: a row of `THRESHOLDS`, prevalence, never, half or hand
    low: Floats  # (N,) lower end of the bootstrap interval; NaN where none was drawn
    high: Floats  # (N,) upper end
    positives: NDArray[np.int64]  # (N,) samples that carry the node, where the values were fitted

    def apply(self, probs: Floats) -> Bools:
        """Tell which nodes reach their threshold, (B, N)."""
        return np.asarray(probs >= self.values)

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Return everything by node; a bound that is NaN is None."""
        bounds = [[None if np.isnan(one) else float(one) for one in bound] for bound in (self.low, self.high)]
        columns = zip(self.values.tolist(), self.rules, *bounds, self.positives.tolist(), strict=True)
        keys = ("value", "rule", "low", "high", "positives")
        return {node: dict(zip(keys, row, strict=True)) for node, row in zip(self.nodes, columns, strict=True)}

    @classmethod
    def from_json(cls, kept: Mapping[str, Mapping[str, Any]]) -> Self:
        """Return thresholds as they were fitted."""

        def column(key: str) -> Floats:
            return np.array([np.nan if row[key] is None else float(row[key]) for row in kept.values()])

        rules = tuple(str(row["rule"]) for row in kept.values())
        return cls(tuple(kept), column("value"), rules, column("low"), column("high"), column("positives").astype(int))

    @property
    def doubtful(self) -> Bools:
        """Which nodes are not told apart, (N,)."""
        return np.array([rule == HALF for rule in self.rules])

    @property
    def never(self) -> Bools:
        """Which nodes had no positive to learn from, (N,)."""
        return np.array([rule == NEVER for rule in self.rules])

    def raise_where_unfounded(self, told_apart: Bools, learned: Bools | None = None) -> Self:
        """Raise the thresholds of nodes of which the samples say too little.

        A node without positives, here and where the members were trained, is never present. One that is ranked no
        better than by chance is present only where it is likelier than not: the threshold of largest F1 calls such a
        node in every sample. A `fixed` one is kept.

        Args:
            told_apart: (N,) whether a node is ranked better than by chance.
            learned: (N,) which nodes had positives where the members were trained; None: unknown, and they are trusted.
        """
        unseen = self.positives == 0
        never = np.zeros_like(unseen) if learned is None else unseen & ~learned
        half = ~told_apart & ~unseen & np.array([rule != "fixed" for rule in self.rules])
        values = np.where(never, np.nextafter(1.0, 2.0), np.where(half, np.maximum(self.values, 0.5), self.values))
        rules = np.where(never, NEVER, np.where(half, HALF, self.rules)).tolist()
        low, high = (np.where(never | half, np.nan, bound) for bound in (self.low, self.high))
        return replace(self, values=values, rules=tuple(rules), low=low, high=high)

    def move(self, log_odds: Floats) -> Self:
        """Move thresholds and their intervals as probabilities are moved, (N,) log-odds, so that calls stay the same.

        Those set by hand, `fixed` ones and the 0.5 of nodes that are not told apart are asked of probabilities as such,
        and stay.
        """
        moves = np.array([rule not in ("hand", "fixed", HALF, NEVER) for rule in self.rules])
        gain = np.where(moves, log_odds, 0.0)
        values, low, high = (move_odds(bound, gain) for bound in (self.values, self.low, self.high))
        return replace(self, values=values, low=low, high=high)

    def never_call(self, nodes: Bools) -> Self:
        """Put the thresholds of some nodes, (N,), where nothing reaches them."""
        values = np.where(nodes, np.nextafter(1.0, 2.0), self.values)
        rules = np.where(nodes, NEVER, self.rules).tolist()
        low, high = (np.where(nodes, np.nan, bound) for bound in (self.low, self.high))
        return replace(self, values=values, rules=tuple(rules), low=low, high=high)

    def set_by_hand(self, values: Mapping[str, float]) -> Self:
        """Put values set by hand, node → threshold in (0, 1), in the place of fitted ones; they have no interval.

        Raises:
            UserError: no such node.
        """
        for node in values:
            if node not in self.nodes:
                hint = did_you_mean(node, self.nodes)
                raise UserError(f"ensemble.hand_thresholds: no node is called {node!r}{hint}")
        by_hand = np.array([values.get(node, np.nan) for node in self.nodes])
        mine = ~np.isnan(by_hand)
        return replace(
            self,
            values=np.where(mine, by_hand, self.values),
            rules=tuple("hand" if own else rule for own, rule in zip(mine, self.rules, strict=True)),
            low=np.where(mine, np.nan, self.low),
            high=np.where(mine, np.nan, self.high),
        )


def fit_thresholds(
    rule: ThresholdRule,
    nodes: tuple[str, ...],
    probs: Floats,
    targets: Targets,
    options: ThresholdOptions,
    units: NDArray[np.int64] | None = None,
) -> Thresholds:
    """Choose every node's threshold on held-out probabilities.

    Args:
        rule: a row of `THRESHOLDS`.
        nodes: N node names.
        probs: (B, N) reconciled.
        targets: (B, N).
        options: what the rule may ask for, and the resamples for intervals.
        units: (B,) numbers, from 0, of what is resampled whole for the intervals; None: each sample alone.
    """
    ranked = Ranked.of(probs, targets.present, targets.known)
    choice = rule.fit(ranked, options)
    low = high = np.full(len(nodes), np.nan)
    if options.resamples:
        unit = np.arange(len(probs)) if units is None else units
        weights = np.concatenate(list(resamples(unit, options.resamples, np.random.default_rng(options.seed))))
        whole_units = len(np.unique(unit)) < len(unit)
        draws = rule.refit(Resamples(probs, targets, weights, whole_units), choice, options)
        low, high = np.quantile(draws, INTERVAL, axis=0)
    return Thresholds(nodes, choice.values, choice.rules, low, high, ranked.hits.sum(axis=1))
