"""Thresholds: one for every node, fitted on held-out probabilities, each with its bootstrap interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpa_hier.ensemble.arrays import Bools, Floats

Counts = NDArray[np.int64]
_ABOVE_ALL = float(np.nextafter(1.0, 2.0))  # the threshold that even a probability of 1 does not reach
_HALF_BAGGED = 100.0  # positives at which the mean F1 threshold over resamples counts half beside the plugin one
_BAGS = 100  # resamples of a bagged threshold where no interval is asked for
_FAR = 0.1  # F1 that a cut of a bagged threshold may lie below the best of all samples
_PLACES = 64  # cuts that a bagged threshold looks at, at most
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


@dataclass(frozen=True)
class Ranked:
    """Samples of every node by falling probability; a cut k calls the first k of them present.

    Attributes:
        order: (N, B) rows of the samples; (N, 0) where they were not asked for.
        probs: (N, B), falling.
        hits: (N, B) True where the sample carries the node and that is known.
        counted: (N, B) False where the annotation does not say.
        parts: (N, B) True where a cut behind this sample parts no equal probabilities.
    """

    order: NDArray[np.intp]
    probs: Floats
    hits: Bools
    counted: Bools
    parts: Bools

    @classmethod
    def of(cls, probs: Floats, present: Bools, known: Bools, *, ordered: bool = False) -> Ranked:
        """Rank samples; probs, present and known are (B, N). Which sample stands where is kept only if `ordered`."""
        if not ordered:
            return cls._without_order(probs, present & known, known)
        falling = np.ascontiguousarray(-probs.T)
        order = np.argsort(falling, axis=1)
        ranked = -np.take_along_axis(falling, order, axis=1)
        counted = np.take_along_axis(np.ascontiguousarray(known.T), order, axis=1)
        hits = np.take_along_axis(np.ascontiguousarray((present & known).T), order, axis=1)
        return cls(order, ranked, hits, counted, _parts(ranked))

    @classmethod
    def _without_order(cls, probs: Floats, hits: Bools, known: Bools) -> Ranked:
        """Sort each probability together with its two answers, as one whole number: that is faster than by places.

        The bits of floating point numbers from 0 to 1 are in their order, and leave the highest two free.
        """
        keys = np.ascontiguousarray(probs.T).view(np.uint64) << np.uint64(2)
        keys |= np.ascontiguousarray(hits.T).view(np.uint8) * np.uint64(2) | known.T.view(np.uint8)
        keys.sort(axis=1)
        keys = np.ascontiguousarray(keys[:, ::-1])
        ranked = (keys >> np.uint64(2)).view(np.float64)
        answers = (keys & np.uint64(3)).astype(np.uint8)
        none = np.empty((len(keys), 0), np.intp)
        return cls(none, ranked, answers >= 2, (answers & 1).astype(bool), _parts(ranked))

    def rows(self, nodes: Sequence[int]) -> Ranked:
        """Return the ranking of these nodes alone."""
        rows = list(nodes)
        if rows == list(range(len(self.probs))):
            return self
        return Ranked(self.order[rows], self.probs[rows], self.hits[rows], self.counted[rows], self.parts[rows])

    def values_at(self, cuts: NDArray[np.intp]) -> Floats:
        """Turn cuts into thresholds: half-way between the last sample inside and the first outside.

        Args:
            cuts: (N, ...) numbers of samples called present, 0 to B.

        Returns:
            The thresholds, shaped as `cuts`; beyond the ends, half-way to 1 and to 0.
        """
        flat = cuts.reshape(len(cuts), -1)
        framed = np.pad(self.probs, ((0, 0), (1, 1)), constant_values=((0.0, 0.0), (_ABOVE_ALL, 0.0)))
        inside = np.take_along_axis(framed, flat, axis=1)
        outside = np.take_along_axis(framed, flat + 1, axis=1)
        middle = outside + (inside - outside) / 2
        values: Floats = np.where(middle > outside, middle, inside)  # neighbours in floating point have no middle
        return values.reshape(cuts.shape)


def _parts(ranked: Floats) -> Bools:
    parts = np.ones(ranked.shape, bool)
    parts[:, :-1] = ranked[:, :-1] != ranked[:, 1:]
    return parts


def f1_cuts(ranked: Ranked) -> NDArray[np.intp]:
    """Return the cut (N,) of largest F1 for each node, exactly; the smallest cut among equals.

    A node without positives gets cut 0.
    """
    best = np.argmax(_f1_behind(ranked), axis=1)
    cuts: NDArray[np.intp] = np.where(ranked.hits.any(axis=1), best + 1, 0)
    return cuts


def prevalence_cuts(ranked: Ranked, shares: Floats | None = None) -> NDArray[np.intp]:
    """Return the cut (N,) that calls as many samples present as carry the node.

    Args:
        ranked: the samples.
        shares: (N,) in [0, 1], the share of samples expected to carry each node; those of `ranked` where None.
            Where the images to predict are another mix than the calibration part, give theirs.

    Returns:
        Cuts behind which the number called present is nearest to the number wanted, without parting equals; the
        smaller of two equally near. Only samples with a known answer count.
    """
    reached = np.cumsum(ranked.counted, axis=1)
    wanted = ranked.hits.sum(axis=1) if shares is None else np.rint(shares * reached[:, -1])
    distance = np.abs(reached - wanted[:, None]).astype(np.float64)
    distance[~ranked.parts] = np.inf
    distance = np.concatenate([np.asarray(wanted, np.float64)[:, None], distance], axis=1)
    nearest: NDArray[np.intp] = np.argmin(distance, axis=1)
    return nearest


def global_threshold(ranked: Ranked, nodes: Sequence[int]) -> float:
    """Return the one threshold of largest macro F1 over `nodes`, exactly.

    Walking down all probabilities of all nodes, each step changes one node's F1; the sum of the changes so far is
    the macro F1 there. Nodes without positives are left out; 0.5 where none has any.
    """
    return float(_Walk.of(ranked, nodes).best(None))


@dataclass(frozen=True)
class _Walk:
    """The way down all probabilities of all nodes that have positives.

    Attributes:
        ranked: these nodes' samples.
        order: places in the flattened `ranked`, by falling probability.
        probs: the probabilities in that order.
    """

    ranked: Ranked
    order: NDArray[np.intp]
    probs: Floats

    @classmethod
    def of(cls, ranked: Ranked, nodes: Sequence[int]) -> _Walk:
        """Sort the way once; where `best` is asked for resamples, it stays the same."""
        chosen = ranked.rows([node for node in nodes if ranked.hits[node].any()])
        probs = chosen.probs.ravel()
        order = np.argsort(-probs, kind="stable")  # keeps each node's own steps in their order, and likes sorted runs
        return cls(chosen, order, probs[order])

    def best(self, times: NDArray[np.float32] | None) -> float:
        """Return the threshold of largest macro F1 where sample b stands times[b] times; None: once."""
        ranked = self.ranked
        if not ranked.hits.size:
            return 0.5
        drawn: NDArray[np.floating] | bool = True if times is None else times[ranked.order]
        found = np.cumsum(ranked.hits * drawn, axis=1, dtype=np.float64)
        reached = np.cumsum(ranked.counted * drawn, axis=1, dtype=np.float64)
        positives = np.maximum(found[:, -1:], 1)  # a node without positives in the resample has F1 0 throughout
        reached += positives
        found /= reached
        found[:, 1:] -= found[:, :-1].copy()  # from here on what each step changes
        total = np.cumsum(found.ravel()[self.order])
        total[:-1][self.probs[:-1] == self.probs[1:]] = -np.inf
        best = int(np.argmax(total))
        outside = self.probs[best + 1] if best + 1 < len(self.probs) else 0.0
        middle = outside + (self.probs[best] - outside) / 2
        return float(middle if middle > outside else self.probs[best])


def plugin_thresholds(ranked: Ranked, times: NDArray[np.float32] | None = None) -> Floats:
    """Return half the best F1 that the probabilities themselves expect: the best threshold where they are calibrated.

    The F1 expected of calling the k most likely samples present is 2 * (their probabilities' sum) / (k + all
    probabilities' sum). No target is looked at, so that nodes without positives have a threshold too.

    Args:
        ranked: the samples, N nodes.
        times: (R, B) how often each sample stands in each resample; None: once.

    Returns:
        (N,), or (R, N) with times; in [0, 0.5].

    Source: Lipton, Elkan & Narayanaswamy, Optimal thresholding of classifiers to maximize F1, ECML 2014.
    """
    if times is None:
        return _half_expected_f1(ranked.probs, ranked.counted.astype(np.float64))
    columns = [
        _half_expected_f1(probs, times[:, order] * counted)
        for probs, order, counted in zip(ranked.probs, ranked.order, ranked.counted, strict=True)
    ]
    return np.stack(columns, axis=1)


def _half_expected_f1(probs: Floats, weights: NDArray[np.floating]) -> Floats:
    expected = np.cumsum(probs * weights, axis=-1)
    reached = np.cumsum(weights, axis=-1)
    whole = reached + expected[..., -1:]
    best: Floats = np.max(expected / np.where(whole > 0, whole, 1.0), axis=-1)
    return best


def _shrunk_plugin(own: Floats, positives: Counts, leaves: Sequence[int], small: int) -> Floats:
    """Pull plugin thresholds (..., N) towards their mean over the leaves, the more so the fewer positives there are."""
    share = positives / np.maximum(positives + small, 1)
    pooled = own[..., list(leaves)].mean(axis=-1, keepdims=True)
    shrunk: Floats = share * own + (1 - share) * pooled
    return np.maximum(shrunk, np.finfo(np.float64).tiny)  # a probability of 0 reaches no threshold


def fit_thresholds(
    nodes: tuple[str, ...], probs: Floats, truth: tuple[Bools, Bools], leaves: Sequence[int], plan: ThresholdPlan
) -> Thresholds:
    """Choose every node's threshold on held-out probabilities.

    Args:
        nodes: N node names.
        probs: (B, N) reconciled.
        truth: present and known, (B, N) each.
        leaves: columns that the global threshold is fitted on.
        plan: the rule. Nodes without positives get the prevalence threshold where the rule is f1, the plugin one where
            it is bagged.

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
        draws = _bootstrap(Ranked.of(probs, *truth, ordered=True), rules, leaves, plan)
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
    by_prevalence = prevalence_cuts(ranked)
    if plan.rule == "prevalence":
        return ranked.values_at(by_prevalence), ("prevalence",) * number
    if plan.rule in ("plugin", "bagged"):
        return _plugin_or_bagged(ranked, positives, leaves, plan)
    small = (positives < plan.small_class) | (positives == 0)
    cuts = np.where(small, by_prevalence, f1_cuts(ranked))
    return ranked.values_at(cuts), tuple("prevalence" if one else "f1" for one in small)


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


def _bags(row: Ranked, plan: ThresholdPlan) -> Floats:
    """F1 thresholds (R,) of one node on R resamples, each sample standing in each about once (Poisson's numbers).

    The best cut is behind a positive, and far from the best of all samples it is of no resample; so some places around
    that are enough, and what lies between two of them is drawn as one number. Time does not grow with the samples.
    """
    f1 = _f1_behind(row)[0]
    behind = np.flatnonzero(row.hits[0] & (f1 >= f1.max() - _FAR))
    if not len(behind):  # the best cut parts no equals, and ends with one that carries nothing
        behind = np.flatnonzero(f1 == f1.max())[:1]
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
    values: Floats = row.values_at(places[np.argmax(drawn_f1, axis=1)][None] + 1)[0]
    return values


def _times(ranked: Ranked, plan: ThresholdPlan) -> Counts:
    """How often each of R resamples holds each sample, (R, B)."""
    rng = np.random.default_rng(plan.seed)
    size = ranked.probs.shape[1]
    return np.stack([np.bincount(rng.integers(size, size=size), minlength=size) for _ in range(plan.bootstrap)])


def _resampled_values(row: Ranked, times: Counts, rule: str) -> Floats:
    """Thresholds (R,) of one node on each resample."""
    drawn = times[:, row.order[0]].astype(np.float32)  # whole numbers far below 2^24 stay exact
    values: Floats = row.values_at(_resampled_cuts(row, drawn, rule)[None])[0]
    return values


def _bootstrap(ranked: Ranked, rules: tuple[str, ...], leaves: Sequence[int], plan: ThresholdPlan) -> Floats:
    """Choose thresholds again on resamples of the samples; (R, N), rules as chosen on all samples."""
    times = _times(ranked, plan)
    if plan.rule == "global":
        walk = _Walk.of(ranked, leaves)
        return np.stack([np.full(len(rules), walk.best(one.astype(np.float32))) for one in times])
    draws = np.empty((plan.bootstrap, len(rules)))
    if plan.rule in ("plugin", "bagged"):
        positives = np.asarray(ranked.hits.sum(axis=1), np.int64)
        draws = _shrunk_plugin(plugin_thresholds(ranked, times.astype(np.float32)), positives, leaves, plan.small_class)
    for node, rule in enumerate(rules):
        if rule == "bagged":
            share = ranked.hits[node].sum() / (ranked.hits[node].sum() + _HALF_BAGGED)
            draws[:, node] += share * (_bags(ranked.rows([node]), plan) - draws[:, node])
        elif rule != "plugin":
            draws[:, node] = _resampled_values(ranked.rows([node]), times, rule)
    return draws


def _resampled_cuts(row: Ranked, drawn: NDArray[np.float32], rule: str) -> NDArray[np.intp]:
    """Cuts (R,) of one node, where sample b was drawn drawn[r, b] times."""
    reached = np.cumsum(drawn * row.counted, axis=1)
    found = np.cumsum(drawn * row.hits, axis=1)
    wanted = found[:, -1:]
    if rule == "f1":
        f1 = 2 * found / np.maximum(reached + wanted, 1)
        f1[:, ~row.parts[0]] = -1
        cuts: NDArray[np.intp] = np.where(wanted[:, 0] > 0, np.argmax(f1, axis=1) + 1, 0)
        return cuts
    distance = np.abs(reached - wanted)
    distance[:, ~row.parts[0]] = np.inf
    nearest: NDArray[np.intp] = np.argmin(np.concatenate([wanted, distance], axis=1), axis=1)
    return nearest


def _f1_behind(ranked: Ranked) -> Floats:
    """F1 (N, B) of the cut behind each sample; -1 where it would part equal probabilities."""
    found = np.cumsum(ranked.hits, axis=1)
    reached = np.cumsum(ranked.counted, axis=1)
    f1 = 2.0 * found / np.maximum(reached + found[:, -1:], 1)
    f1[~ranked.parts] = -1.0
    return f1
