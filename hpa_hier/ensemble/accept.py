"""Acceptance: once for the whole model, whether an aggregate beats the plain mean of as many networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpa_hier.ensemble.decide.thresholds import INTERVAL
from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.ensemble.fit import FitData, OutOfFold, cross_fit
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

_RESAMPLES = 400
_MOST_ENTRIES = 1 << 22  # weights held at a time
METRICS = ("mean_ap", "macro_f1")


@dataclass(frozen=True)
class Accepted:
    """The ensemble to use and how that was decided.

    Attributes:
        ensemble: the aggregate, or the mean where the aggregate was not shown to be better.
        uses_baseline: whether it is the mean, of the baseline's members where there is a baseline.
        verdict: for people and for the report: what was compared, differences with bounds, and each class's metrics.
        baseline: the mean of the baseline's members, used or not; None where there is no baseline.
    """

    ensemble: Ensemble
    uses_baseline: bool
    verdict: dict[str, Any]
    baseline: Ensemble | None


def fit_accepted(given: FitData, baseline: FitData | None, taxonomy: Taxonomy, settings: EnsembleSettings) -> Accepted:
    """Fit the aggregate and the mean, compare them out of fold, and return the aggregate where it is better.

    It is better where the lower bound of the paired difference is above 0 in mean AP or in macro F1, and the other
    metric does not fall by more than noise: its upper bound is not below 0. On a few hundred samples one class with one
    positive can move either by 0.03. Deciding class by class was measured and gives the gain away.

    Args:
        given: the members' scores.
        baseline: those of as many flat members; None: the mean is that of the members themselves.
        taxonomy: the label tree.
        settings: with the confidence of the lower bound.
    """
    plain = settings.model_copy(update={"aggregate": "mean", "reconcile": "lift"})
    ensemble, ours = cross_fit(given, taxonomy, settings)
    if baseline is None and plain == settings:
        return Accepted(ensemble, True, {"decided": False, "why": "the aggregate is the mean itself"}, None)
    mean, theirs = cross_fit(given if baseline is None else baseline, taxonomy, plain)
    flat = None if baseline is None else mean
    if ours is None or theirs is None:
        why = "no folds: the setting is 0 or samples are too few; the aggregate is used unchecked"
        return Accepted(ensemble, False, {"decided": False, "why": why}, flat)
    verdict = compare(ours, theirs, taxonomy, settings.accept)
    better = bool(verdict["accepted"])
    return Accepted(ensemble if better else mean, not better, verdict, flat)


def compare(ours: OutOfFold, theirs: OutOfFold, taxonomy: Taxonomy, confidence: float) -> dict[str, Any]:
    """Compare two systems out of fold, paired, on the leaves.

    Args:
        ours: of the aggregate.
        theirs: of the mean, for the same samples.
        taxonomy: names the leaves.
        confidence: in (0, 1), of the one-sided bounds.

    Returns:
        accepted, differences with lower bounds, and a table with each class's metrics, which decides nothing.
    """
    leaves = [taxonomy.column[leaf] for leaf in taxonomy.leaves]
    systems = [_Measured.of(one, leaves) for one in (ours, theirs)]
    drawn = [_Drawn.of(one, ours.units) for one in systems]
    apart = {name: drawn[0].over_classes(name) - drawn[1].over_classes(name) for name in METRICS}
    if np.isnan([one[0] for one in apart.values()]).any():
        return {"decided": False, "accepted": False, "why": "no leaf is known to have a positive; the mean is used"}
    differences = {name: float(apart[name][0]) for name in METRICS}
    # Bounds of a paired difference are not moved as those of a metric, since what both lose in a resample cancels; but
    # no difference is surer than itself.
    lower = {name: float(np.nanquantile(apart[name][1:], 1 - confidence).clip(max=apart[name][0])) for name in METRICS}
    upper = {name: float(np.nanquantile(apart[name][1:], confidence)) for name in METRICS}
    accepted = max(lower.values()) > 0 and min(upper.values()) >= 0
    positives = (ours.truth.present & ours.truth.known)[:, leaves].sum(axis=0)
    return {
        "decided": True,
        "accepted": bool(accepted),
        "confidence": confidence,
        "difference": differences,
        "lower": lower,
        "upper": upper,
        "ensemble": {name: _with_interval(drawn[0].over_classes(name)) for name in METRICS},
        "mean": {name: float(drawn[1].over_classes(name)[0]) for name in METRICS},
        "classes": [
            {"node": leaf, "positives": int(n), "ap": _row(drawn, "ap", j), "f1": _row(drawn, "f1", j)}
            for j, (leaf, n) in enumerate(zip(taxonomy.leaves, positives, strict=True))
        ],
    }


def describe_acceptance(ensemble: Ensemble) -> str:
    """Describe how an ensemble came to be accepted, from what is kept with it."""
    verdict = ensemble.about.get("acceptance")
    return describe_verdict(verdict if isinstance(verdict, dict) else {"why": "nothing was kept about it"})


def describe_verdict(verdict: Mapping[str, Any]) -> str:
    """Describe a verdict in one line."""
    if not verdict.get("decided"):
        return f"not compared with the mean: {verdict.get('why')}"
    shown = ", ".join(
        f"{words} {verdict['difference'][name]:+.4f} (at least {verdict['lower'][name]:+.4f} "
        f"with {100 * verdict['confidence']:g} % confidence)"
        for name, words in (("mean_ap", "mean AP"), ("macro_f1", "macro F1"))
    )
    if verdict["accepted"]:
        return f"accepted against the mean, out of fold: {shown}"
    return f"not shown to beat the mean, so the mean is used instead; out of fold: {shown}"


@dataclass(frozen=True)
class _Measured:
    """A system's answers on L leaves, ready to be measured on resamples: arrays (B, L)."""

    probs: Floats
    present: Bools
    targets: Bools
    known: Bools

    @classmethod
    def of(cls, one: OutOfFold, leaves: list[int]) -> _Measured:
        truth = one.truth
        return cls(one.probs[:, leaves], one.present[:, leaves], truth.present[:, leaves], truth.known[:, leaves])

    def f1(self, weights: Floats) -> Floats:
        """F1 (R, L) on resamples (R, B); NaN for a leaf without positives."""
        hits = weights @ (self.present & self.targets & self.known).astype(np.float32)
        called = weights @ (self.present & self.known).astype(np.float32)
        true = weights @ (self.targets & self.known).astype(np.float32)
        return np.where(true > 0, 2 * hits / np.maximum(called + true, 1), np.nan)

    def ap(self, weights: Floats) -> Floats:
        """Average precision (R, L) on resamples (R, B); NaN for a leaf without positives."""
        columns = []
        for j in range(self.probs.shape[1]):
            order = np.argsort(-self.probs[:, j], kind="stable")
            drawn = weights[:, order]
            hit = drawn * (self.targets & self.known)[order, j]
            found, reached = np.cumsum(hit, axis=1), np.cumsum(drawn * self.known[order, j], axis=1)
            ranked = self.probs[order, j]
            ends = np.append(ranked[1:] != ranked[:-1], True)  # equal probabilities are one step
            found, reached = found[:, ends], reached[:, ends]
            total = (np.diff(found, axis=1, prepend=0) * found / np.maximum(reached, 1)).sum(axis=1)
            columns.append(np.where(found[:, -1] > 0, total / np.maximum(found[:, -1], 1), np.nan))
        return np.stack(columns, axis=1)


@dataclass(frozen=True)
class _Drawn:
    """A system's metrics for every leaf, (1 + R, L): on all samples, and on R resamples."""

    ap: Floats
    f1: Floats

    @classmethod
    def of(cls, one: _Measured, units: tuple[str, ...]) -> _Drawn:
        whole: Floats = np.ones((1, len(one.probs)))
        chunks: list[Floats] = [whole, *_resamples(units, len(one.probs))]
        return cls(np.concatenate([one.ap(c) for c in chunks]), np.concatenate([one.f1(c) for c in chunks]))

    def over_classes(self, metric: str) -> Floats:
        """Mean AP or macro F1, (1 + R,)."""
        return _mean(self.ap if metric == "mean_ap" else self.f1)


def _resamples(units: tuple[str, ...], size: int) -> Iterator[Floats]:
    """Draw whole units with replacement; (R, B) weights in chunks."""
    names = [name or f"\0{row}" for row, name in enumerate(units)]
    _, unit = np.unique(names, return_inverse=True)
    many = int(unit.max()) + 1
    rng = np.random.default_rng(0)
    at_once = max(1, _MOST_ENTRIES // max(1, size))
    for start in range(0, _RESAMPLES, at_once):
        number = min(at_once, _RESAMPLES - start)
        drawn = np.stack([np.bincount(rng.integers(0, many, many), minlength=many) for _ in range(number)])
        yield drawn[:, unit].astype(np.float32)


def _mean(values: Floats) -> Floats:
    """Mean over the last axis without NaN; NaN where nothing is left."""
    some = ~np.isnan(values)
    count = some.sum(axis=-1)
    mean: Floats = np.where(count, np.where(some, values, 0.0).sum(axis=-1) / np.maximum(count, 1), np.nan)
    return mean


def _row(drawn: list[_Drawn], metric: str, leaf: int) -> dict[str, float | None]:
    ours, theirs = (getattr(one, metric)[:, leaf] for one in drawn)
    interval = _with_interval(ours)
    return {"ensemble": interval["value"], "mean": _number(theirs[0]), "low": interval["low"], "high": interval["high"]}


def _with_interval(values: Floats) -> dict[str, float | None]:
    """A metric on all samples, and its bootstrap interval: None where a leaf has no positives."""
    low, high = (_bound(values, quantile) for quantile in INTERVAL)
    return {"value": _number(values[0]), "low": _number(low), "high": _number(high)}


def _bound(values: Floats, quantile: float) -> float:
    """A quantile of resampled metrics, moved so that their median is the metric itself, values[0]; NaN is left out.

    A resample lacks positives of rare classes, so its metrics lie lower or higher than those of the whole: unmoved
    bounds need not even hold the metric.
    """
    drawn = values[1:][~np.isnan(values[1:])]
    if not len(drawn):
        return float("nan")
    return float(np.clip(np.quantile(drawn, quantile) - np.median(drawn) + values[0], 0.0, 1.0))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
