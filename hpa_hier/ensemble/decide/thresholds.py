"""Thresholds: one for every node, fitted on held-out probabilities, each with its bootstrap interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpa_hier.ensemble.decide.threshold_rules import (
    Walk,
    f1_thresholds,
    global_threshold,
    plugin_thresholds,
    prevalence_thresholds,
)
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.metrics.ranking import Ranked, f1_curve

Counts = NDArray[np.int64]
_HALF_BAGGED = 100.0  # positives at which the mean F1 threshold over resamples counts half beside the plugin one
_BAGS = 100  # resamples of a bagged threshold where no interval is asked for
_FAR = 0.1  # F1 that a rank of a bagged threshold may lie below the best of all samples
_PLACES = 64  # ranks that a bagged threshold looks at, at most
INTERVAL = (0.025, 0.975)  # quantiles of a threshold's bootstrap interval


@dataclass(frozen=True)
class Thresholds:
    """What a node's probability must reach for the node to be present.

    Attributes:
        nodes: N node names.
        values: (N,) in [0, 1], or the next number above 1 where nothing may be present.
        rules: the rule behind each value: fixed, global, f1, prevalence, plugin, bagged or hand.
        low: (N,) lower end of the bootstrap interval; NaN where none was drawn.
        high: (N,) upper end.
        positives: (N,) samples that carry the node, where the values were fitted.
    """

    nodes: tuple[str, ...]
    values: Floats
    rules: tuple[str, ...]
    low: Floats
    high: Floats
    positives: Counts


@dataclass(frozen=True)
class ThresholdPlan:
    """How thresholds are chosen.

    Attributes:
        rule: fixed, global, f1, prevalence, plugin or bagged.
        fixed: the value of rule fixed.
        small_class: nodes with fewer positives get the prevalence threshold where the rule is f1, the plugin one
            where it is bagged; the positives at which a plugin threshold's own value counts half.
        bootstrap: resamples for the interval; 0 for none.
        seed: of the resamples.
    """

    rule: str
    fixed: float = 0.5
    small_class: int = 20
    bootstrap: int = 200
    seed: int = 0


def fit_thresholds(
    nodes: tuple[str, ...],
    probs: Floats,
    truth: tuple[Bools, Bools],
    leaves: Sequence[int],
    plan: ThresholdPlan,
    units: NDArray[np.intp] | None = None,
) -> Thresholds:
    """Choose every node's threshold on held-out probabilities.

    Args:
        nodes: N node names.
        probs: (B, N) reconciled.
        truth: present and known, (B, N) each.
        leaves: columns that the global threshold is fitted on.
        plan: the rule. Nodes without positives get the prevalence threshold where the rule is f1, the plugin one where
            it is bagged.
        units: (B,) numbers of what is resampled whole for the intervals, from 0; None: each sample alone.

    Returns:
        The thresholds. A node without positives gets, by prevalence, half-way from the largest probability to 1.
    """
    if plan.rule == "fixed":
        return _fixed(nodes, truth, plan)
    ranked = Ranked.of(probs, *truth)
    positives = ranked.hits.sum(axis=1)
    values, rules = _choose(ranked, positives, leaves, plan)
    low, high = np.full(len(nodes), np.nan), np.full(len(nodes), np.nan)
    if plan.bootstrap:
        alone = units is None or len(np.unique(units)) == len(units)
        draws = _bootstrap(Ranked.of(probs, *truth, ordered=True), rules, leaves, plan, None if alone else units)
        low, high = np.quantile(draws, INTERVAL, axis=0)
    return Thresholds(nodes, values, rules, low, high, positives)


def _fixed(nodes: tuple[str, ...], truth: tuple[Bools, Bools], plan: ThresholdPlan) -> Thresholds:
    values = np.full(len(nodes), plan.fixed)
    positives = np.asarray((truth[0] & truth[1]).sum(axis=0), np.int64)
    return Thresholds(nodes, values, ("fixed",) * len(nodes), values.copy(), values.copy(), positives)


def _choose(
    ranked: Ranked, positives: Counts, leaves: Sequence[int], plan: ThresholdPlan
) -> tuple[Floats, tuple[str, ...]]:
    number = len(positives)
    if plan.rule == "global":
        return np.full(number, global_threshold(ranked, leaves)), ("global",) * number
    by_prevalence = prevalence_thresholds(ranked)
    if plan.rule == "prevalence":
        return by_prevalence, ("prevalence",) * number
    if plan.rule in ("plugin", "bagged"):
        return _plugin_or_bagged(ranked, positives, leaves, plan)
    small = (positives < plan.small_class) | (positives == 0)
    values = np.where(small, by_prevalence, f1_thresholds(ranked))
    return values, tuple("prevalence" if one else "f1" for one in small)


def _plugin_or_bagged(
    ranked: Ranked, positives: Counts, leaves: Sequence[int], plan: ThresholdPlan
) -> tuple[Floats, tuple[str, ...]]:
    values = _shrunk_plugin(plugin_thresholds(ranked), positives, leaves, plan.small_class)
    rules = ["plugin"] * len(positives)
    if plan.rule == "bagged":
        for node in map(int, np.flatnonzero((positives >= plan.small_class) & (positives > 0))):
            share = positives[node] / (positives[node] + _HALF_BAGGED)
            values[node] += share * (_bags(ranked.rows([node]), plan).mean() - values[node])
            rules[node] = "bagged"
    return values, tuple(rules)


def _shrunk_plugin(own: Floats, positives: Counts, leaves: Sequence[int], small: int) -> Floats:
    """Pull plugin thresholds (..., N) towards their mean over the leaves, the more so the fewer positives there are."""
    share = positives / np.maximum(positives + small, 1)
    pooled = own[..., list(leaves)].mean(axis=-1, keepdims=True)
    shrunk: Floats = share * own + (1 - share) * pooled
    return np.maximum(shrunk, np.finfo(np.float64).tiny)  # a probability of 0 reaches no threshold


def _bags(row: Ranked, plan: ThresholdPlan) -> Floats:
    """F1 thresholds (R,) of one node on R resamples, each sample standing in each about once (Poisson's numbers).

    The best rank is that of a positive, and near the best of all samples in every resample; so some places around that
    are enough, and what lies between two of them is drawn as one number. Time does not grow with the samples.
    """
    f1 = f1_curve(row)[0]
    ends = np.flatnonzero(row.ends[0])
    fresh = np.diff(np.cumsum(row.hits[0])[ends], prepend=0) > 0  # equals are one step, that holds a positive or none
    behind = ends[fresh & (f1[ends] >= f1.max() - _FAR)]
    places = behind[np.unique(np.linspace(0, len(behind) - 1, _PLACES).round().astype(int))]
    hits, others = (
        np.diff(np.concatenate([[0], np.cumsum(which)[places], [which.sum()]]))
        for which in (row.hits[0], row.counted[0] & ~row.hits[0])
    )
    rng = np.random.default_rng(plan.seed)
    shape = (plan.bootstrap or _BAGS, len(places) + 1)
    found = np.cumsum(rng.poisson(hits, shape), axis=1)
    reached = found + np.cumsum(rng.poisson(others, shape), axis=1)
    drawn_f1 = 2 * found[:, :-1] / np.maximum(reached[:, :-1] + found[:, -1:], 1)
    values: Floats = row.thresholds_at(places[np.argmax(drawn_f1, axis=1)][None] + 1)[0]
    return values


def _bootstrap(
    ranked: Ranked,
    rules: tuple[str, ...],
    leaves: Sequence[int],
    plan: ThresholdPlan,
    units: NDArray[np.intp] | None,
) -> Floats:
    """Choose thresholds again on resamples of the samples, or of their units; (R, N), rules as on all samples."""
    times = _times(ranked, plan, units)
    if plan.rule == "global":
        walk = Walk.of(ranked, leaves)
        return np.stack([np.full(len(rules), walk.best(one.astype(np.float32))) for one in times])
    draws = np.empty((plan.bootstrap, len(rules)))
    if plan.rule in ("plugin", "bagged"):
        positives = np.asarray(ranked.hits.sum(axis=1), np.int64)
        draws = _shrunk_plugin(plugin_thresholds(ranked, times.astype(np.float32)), positives, leaves, plan.small_class)
    for node, rule in enumerate(rules):
        if rule == "bagged":
            share = ranked.hits[node].sum() / (ranked.hits[node].sum() + _HALF_BAGGED)
            row = ranked.rows([node])
            bags = _bags(row, plan) if units is None else _resampled_values(row, times, "f1")
            draws[:, node] += share * (bags - draws[:, node])
        elif rule != "plugin":
            draws[:, node] = _resampled_values(ranked.rows([node]), times, rule)
    return draws


def _times(ranked: Ranked, plan: ThresholdPlan, units: NDArray[np.intp] | None) -> Counts:
    """How often each of R resamples holds each sample, (R, B); samples of one unit are drawn together."""
    rng = np.random.default_rng(plan.seed)
    size = ranked.probs.shape[1] if units is None else int(units.max()) + 1
    drawn = (np.bincount(rng.integers(size, size=size), minlength=size) for _ in range(plan.bootstrap))
    return np.stack([one if units is None else one[units] for one in drawn])


def _resampled_values(row: Ranked, times: Counts, rule: str) -> Floats:
    """Thresholds (R,) of one node on each resample."""
    drawn = times[:, row.order[0]].astype(np.float32)  # whole numbers far below 2^24 stay exact
    values: Floats = row.thresholds_at(_resampled_ranks(row, drawn, rule)[None])[0]
    return values


def _resampled_ranks(row: Ranked, drawn: NDArray[np.float32], rule: str) -> NDArray[np.intp]:
    """Ranks (R,) of one node, where sample b was drawn drawn[r, b] times."""
    reached = np.cumsum(drawn * row.counted, axis=1)
    found = np.cumsum(drawn * row.hits, axis=1)
    wanted = found[:, -1:]
    if rule == "f1":
        f1 = 2 * found / np.maximum(reached + wanted, 1)
        f1[:, ~row.ends[0]] = -1
        ranks: NDArray[np.intp] = np.where(wanted[:, 0] > 0, np.argmax(f1, axis=1) + 1, 0)
        return ranks
    distance = np.abs(reached - wanted)
    distance[:, ~row.ends[0]] = np.inf
    nearest: NDArray[np.intp] = np.argmin(np.concatenate([wanted, distance], axis=1), axis=1)
    return nearest
