"""Acceptance: once for the whole model, whether an aggregate beats the plain mean of as many networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.ensemble.fit import OutOfFold, cross_fit
from hpa_hier.ensemble.scores.fit_data import FitData
from hpa_hier.ensemble.verdict import ClassMetric, ClassRow, Comparison, Interval, IntervalPair, Pair, Verdict
from hpa_hier.metrics.arrays import Floats
from hpa_hier.metrics.bootstrap import interval, resamples
from hpa_hier.metrics.groups import number_units
from hpa_hier.metrics.scores import average_precision, count, f1, mean_of_defined
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

_RESAMPLES = 400
_LEVEL = 0.95  # of the intervals of metrics


@dataclass(frozen=True)
class Accepted:
    """The ensemble to use and how that was decided."""

    ensemble: Ensemble  # the aggregate, or the mean where the aggregate was not shown to be better
    uses_baseline: bool  # whether it is the mean, of the baseline's members where there is a baseline
    verdict: Verdict  # what was compared
    baseline: Ensemble | None  # the mean of the baseline's members, used or not; None where there is no baseline


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
        return Accepted(ensemble, True, Verdict(why="the aggregate is the mean itself"), None)
    mean, theirs = cross_fit(given if baseline is None else baseline, taxonomy, plain)
    flat = None if baseline is None else mean
    if ours is None or theirs is None:
        why = "no folds: the setting is 0 or samples are too few; the aggregate is used unchecked"
        return Accepted(ensemble, False, Verdict(why=why), flat)
    verdict = compare(ours, theirs, taxonomy, settings.accept)
    return Accepted(ensemble if verdict.accepted else mean, not verdict.accepted, verdict, flat)


def describe_acceptance(ensemble: Ensemble) -> str:
    """Describe how an ensemble came to be accepted, from what is kept with it."""
    kept = ensemble.about.get("acceptance")
    return Verdict.from_json(kept if isinstance(kept, dict) else {"why": "nothing was kept about it"}).describe()


def compare(ours: OutOfFold, theirs: OutOfFold, taxonomy: Taxonomy, confidence: float) -> Verdict:
    """Compare the aggregate (`ours`) with the mean, out of fold, paired, on the leaves.

    The bounds are one-sided, of `confidence` in (0, 1).
    """
    leaves = np.array([taxonomy.column[leaf] for leaf in taxonomy.leaves])
    mine, others = (_measure(system, leaves, ours.units) for system in (ours, theirs))
    one, other = (
        {n: np.asarray(mean_of_defined(v), np.float64) for n, v in system.items()} for system in (mine, others)
    )
    differences = {name: one[name] - other[name] for name in one}
    if any(np.isnan(values[0]) for values in differences.values()):
        return Verdict(accepted=False, why="no leaf is known to have a positive; the mean is used")
    # Bounds of a paired difference are not moved as those of a metric, since what both lose in a resample cancels; but
    # no difference is surer than itself.
    lower = {n: float(np.nanquantile(v[1:], 1 - confidence).clip(max=v[0])) for n, v in differences.items()}
    upper = {n: float(np.nanquantile(v[1:], confidence)) for n, v in differences.items()}
    positives = (ours.truth.present & ours.truth.known)[:, leaves].sum(axis=0)
    ap, macro = (
        [_class_metric(mine[n][:, j], others[n][:, j]) for j in range(len(leaves))] for n in ("mean_ap", "macro_f1")
    )
    comparison = Comparison(
        confidence=confidence,
        difference=Pair(**{n: float(v[0]) for n, v in differences.items()}),
        lower=Pair(**lower),
        upper=Pair(**upper),
        ensemble=IntervalPair(**{n: _with_interval(v) for n, v in one.items()}),
        mean=Pair(**{n: float(v[0]) for n, v in other.items()}),
        classes=tuple(
            ClassRow(node=leaf, positives=int(positives[j]), ap=ap[j], f1=macro[j])
            for j, leaf in enumerate(taxonomy.leaves)
        ),
    )
    return Verdict(accepted=max(lower.values()) > 0 and min(upper.values()) >= 0, comparison=comparison)


def _measure(one: OutOfFold, leaves: np.ndarray, units: tuple[str, ...]) -> dict[str, Floats]:
    """Return every leaf's AP and F1, (1 + R, L) each: on all samples, and on R resamples of whole units."""
    probs, present = one.probs[:, leaves], one.present[:, leaves]
    targets, known = one.truth.present[:, leaves], one.truth.known[:, leaves]
    unit = number_units(units, by_name=True)
    weights = [np.ones((1, len(probs))), *resamples(unit, _RESAMPLES, np.random.default_rng(0))]
    return {
        "mean_ap": np.concatenate([average_precision(probs, targets, known, chunk) for chunk in weights]),
        "macro_f1": np.concatenate([f1(count(present, targets, known, chunk)) for chunk in weights]),
    }


def _class_metric(ours: Floats, theirs: Floats) -> ClassMetric:
    one = _with_interval(ours)
    return ClassMetric(ensemble=one.value, mean=_rounded(theirs[0]), low=one.low, high=one.high)


def _with_interval(values: Floats) -> Interval:
    """The metric on all samples, values[0], and its interval over the resamples behind it, in [0, 1]."""
    low, high = np.clip(interval(values[1:], values[0], _LEVEL), 0.0, 1.0)
    return Interval(value=_rounded(values[0]), low=_rounded(low), high=_rounded(high))


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
