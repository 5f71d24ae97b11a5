"""Acceptance: once for the whole model, whether an ensemble is better than as many flat networks, or than the mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hpa_hier.ensemble.calibrate.calibration import Calibration
from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.ensemble.fit import OutOfFold, cross_fit
from hpa_hier.ensemble.scores.fit_data import FitData
from hpa_hier.ensemble.verdict import (
    Against,
    ClassMetric,
    ClassRow,
    Comparison,
    Interval,
    IntervalPair,
    LogLoss,
    Pair,
    Verdict,
)
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.metrics.bootstrap import interval, resamples
from hpa_hier.metrics.groups import number_units
from hpa_hier.metrics.scores import average_precision, count, f1, mean_of_defined, ratio, sample_losses, weighted_sum
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

Columns = NDArray[np.intp]
Weights = NDArray[np.floating]  # as resamples gives them

_RESAMPLES = 400
_LEVEL = 0.95  # of the intervals of metrics


@dataclass(frozen=True)
class Accepted:
    """The ensemble to use and how that was decided."""

    ensemble: Ensemble  # the one asked for, or its baseline where it was not shown to be better
    uses_baseline: bool  # whether it is the baseline: the flat members' ensemble, or the mean where there are none
    verdict: Verdict  # what was compared
    flat: Ensemble | None  # the flat members' ensemble, used or not; None where there are none


def fit_accepted(given: FitData, flat: FitData | None, taxonomy: Taxonomy, settings: EnsembleSettings) -> Accepted:
    """Fit an ensemble and its baseline, compare them out of fold, and return the ensemble where it is better.

    The baseline is fitted on the flat members with the same settings, so that what differs is the networks alone.
    Without flat members it is the mean of the same members, all else alike. Deciding class by class was
    measured and gives the gain away.

    Args:
        given: the members' scores.
        flat: those of as many flat members; None where there are none.
        taxonomy: the label tree.
        settings: with the confidence of the bound.
    """
    plain = settings if flat else settings.model_copy(update={"aggregate": "mean"})
    calibrated: dict[bytes, Calibration] = {}  # the baseline has some of the members, if not all
    ensemble, ours = cross_fit(given, taxonomy, settings, calibrated)
    if flat is None and plain == settings:
        return Accepted(ensemble, True, Verdict(why="the aggregate is the mean of the members itself"), None)
    baseline, theirs = cross_fit(flat or given, taxonomy, plain, calibrated)
    kept = baseline if flat else None
    if ours is None or theirs is None:
        why = "there are no folds, since the setting is 0 or samples are too few; the ensemble is used unchecked"
        return Accepted(ensemble, False, Verdict(why=why), kept)
    verdict = compare(ours, theirs, taxonomy, settings.accept, "flat" if flat else "mean")
    return Accepted(ensemble if verdict.accepted else baseline, not verdict.accepted, verdict, kept)


def describe_acceptance(ensemble: Ensemble) -> str:
    """Say in a sentence how an ensemble came to be accepted, from what is kept with it."""
    kept = ensemble.about.get("acceptance")
    return Verdict.from_json(kept if isinstance(kept, dict) else {"why": "no verdict was kept"}).describe()


def compare(ours: OutOfFold, theirs: OutOfFold, taxonomy: Taxonomy, confidence: float, against: Against) -> Verdict:
    """Compare an ensemble (`ours`) with its baseline, out of fold, paired, on the leaves.

    One figure decides: the ensemble is accepted where its log loss is lower by more than noise. Log loss is a proper
    score of each sample alone, so that it may be averaged over folds. Average precision may not be taken over pooled
    folds: each fold's own offsets and slopes shuffle its ranking, at the cost of what is fitted again in each. Within
    folds, it is shown beside macro F1; they decide nothing.

    Args:
        ours: what the ensemble says.
        theirs: what the baseline says of the same samples.
        taxonomy: the label tree.
        confidence: of the one-sided bounds, in (0, 1).
        against: what the baseline is.

    Source: Forman & Scholz, Apples-to-apples in cross-validation studies, SIGKDD Explorations 2010; Airola et al.,
    Computational Statistics & Data Analysis 2011.
    """
    leaves = np.array([taxonomy.column[leaf] for leaf in taxonomy.leaves])
    loss = compare_losses(ours, theirs, leaves, confidence)
    if loss is None:
        return Verdict(accepted=False, why="no leaf is known of two antibodies or samples; the baseline is used")
    mine, others = (_measure(system, leaves) for system in (ours, theirs))
    one, other = (
        {n: np.asarray(mean_of_defined(v), np.float64) for n, v in system.items()} for system in (mine, others)
    )
    differences = {name: one[name] - other[name] for name in one}
    positives = (ours.truth.present & ours.truth.known)[:, leaves].sum(axis=0)
    ap, macro = (
        [_class_metric(mine[n][:, j], others[n][:, j]) for j in range(len(leaves))] for n in ("mean_ap", "macro_f1")
    )
    comparison = Comparison(
        confidence=confidence,
        against=against,
        log_loss=loss,
        difference=IntervalPair(**{n: _with_interval(v, -1) for n, v in differences.items()}),
        ensemble=IntervalPair(**{n: _with_interval(v) for n, v in one.items()}),
        baseline=Pair(**{n: _rounded(v[0]) for n, v in other.items()}),
        classes=tuple(
            ClassRow(node=leaf, positives=int(positives[j]), ap=ap[j], f1=macro[j])
            for j, leaf in enumerate(taxonomy.leaves)
        ),
    )
    return Verdict(accepted=loss.upper < 0, comparison=comparison)


def compare_losses(ours: OutOfFold, theirs: OutOfFold, leaves: Columns, confidence: float) -> LogLoss | None:
    """Compare two systems' log loss per known leaf entry, paired, with bounds over whole units.

    The difference is a ratio of sums over units, and its bounds are Student's, with the ratio's linearised variance.
    That samples share most of what their systems were fitted on makes the differences of folds dependent, and the
    bounds somewhat narrow; the correction of Nadeau & Bengio (Machine Learning 2003) would make them half as wide
    again. Measured with `benchmarks/acceptance.py` they hold what they promise without it, as theory has it for stable
    fits (Bayle et al., NeurIPS 2020), and with it they miss gains.

    Args:
        ours: what the one system says.
        theirs: what the other says of the same samples.
        leaves: (L,) columns to compare on.
        confidence: of the one-sided bounds, in (0, 1).

    Returns:
        The losses, their difference and its bounds; None where fewer than two units have a known leaf.
    """
    targets, known = ours.truth.present[:, leaves], ours.truth.known[:, leaves]
    mine, entries = sample_losses(ours.probs[:, leaves], targets, known)
    others, _ = sample_losses(theirs.probs[:, leaves], targets, known)
    unit = number_units(ours.units, by_name=True)
    by_unit = np.bincount(unit, entries)
    gained, units = np.bincount(unit, mine - others), int((by_unit > 0).sum())
    if units < 2:
        return None
    whole = float(by_unit.sum())
    difference = float(gained.sum()) / whole
    deviation = np.sqrt(units / (units - 1) * ((gained - difference * by_unit) ** 2).sum()) / whole
    half = float(stats.t.ppf(confidence, units - 1) * deviation)
    losses = (float(mine.sum()) / whole, float(others.sum()) / whole)
    return LogLoss(
        ensemble=losses[0],
        baseline=losses[1],
        difference=difference,
        lower=difference - half,
        upper=difference + half,
    )


def _measure(one: OutOfFold, leaves: Columns) -> dict[str, Floats]:
    """Return every leaf's AP and F1, (1 + R, L) each: on all samples, and on R resamples of whole units."""
    present, targets, known = one.present[:, leaves], one.truth.present[:, leaves], one.truth.known[:, leaves]
    unit = number_units(one.units, by_name=True)
    weights = [np.ones((1, len(present))), *resamples(unit, _RESAMPLES, np.random.default_rng(0))]
    ap = [fold_average_precision(one.probs[:, leaves], targets, known, one.fold, chunk) for chunk in weights]
    scores = [f1(count(present, targets, known, chunk)) for chunk in weights]
    return {"mean_ap": np.concatenate(ap), "macro_f1": np.concatenate(scores)}


def fold_average_precision(probs: Floats, targets: Bools, known: Bools, fold: Columns, weights: Weights) -> Floats:
    """Return AP within folds, averaged with weights as the folds' positives, per node.

    Args:
        probs: (B, L) out of fold.
        targets: (B, L).
        known: (B, L).
        fold: (B,) from 0.
        weights: (R, B), one row a resample.

    Returns:
        (R, L); NaN where a node has no positives.

    Source: Forman & Scholz, Apples-to-apples in cross-validation studies, SIGKDD Explorations 2010.

    >>> yes = np.array([[True], [False], [True], [False]])
    >>> pooled = np.array([[0.3], [0.2], [0.9], [0.8]])  # each fold ranks well; its offsets differ
    >>> fold_average_precision(pooled, yes, yes | True, np.array([0, 0, 1, 1]), np.ones((1, 4)))
    array([[1.]])
    """
    found, positives = np.zeros((len(weights), probs.shape[1])), np.zeros((len(weights), probs.shape[1]))
    for k in range(int(fold.max()) + 1):
        rows = fold == k
        here = weighted_sum((targets & known)[rows], weights[:, rows])
        ap = average_precision(probs[rows], targets[rows], known[rows], weights[:, rows])
        found += here * np.nan_to_num(ap)
        positives += here
    return np.asarray(ratio(found, positives), np.float64)


def _class_metric(ours: Floats, theirs: Floats) -> ClassMetric:
    one = _with_interval(ours)
    return ClassMetric(ensemble=one.value, baseline=_rounded(theirs[0]), low=one.low, high=one.high)


def _with_interval(values: Floats, lowest: float = 0.0) -> Interval:
    """The metric on all samples, values[0], and its interval over the resamples behind it, in [lowest, 1]."""
    low, high = np.clip(interval(values[1:], values[0], _LEVEL), lowest, 1.0)
    return Interval(value=_rounded(values[0]), low=_rounded(low), high=_rounded(high))


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
