"""Compute: an evaluation's results, each metric with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpa_hier.evaluate.measure import Measured, SystemMeasure, level_key, measure_resamples
from hpa_hier.evaluate.results import (
    Coherence,
    Estimate,
    LevelRows,
    NodeEstimates,
    NodeRow,
    ReliabilityBin,
    Results,
    Row,
    Scope,
    Verdict,
)
from hpa_hier.evaluate.risk import risk_coverage, safe_shares
from hpa_hier.metrics import scores as metrics
from hpa_hier.metrics.bootstrap import interval
from hpa_hier.metrics.groups import number_units
from hpa_hier.runs.evaluation import Evaluation, SystemAnswers
from hpa_hier.settings.recipe import ReportSettings

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Metric:
    """A metric of the headline table."""

    key: str
    name: str
    higher_is_better: bool = True
    digits: int = 3  # shown after the decimal point


HEADLINE = (
    Metric("macro_f1", "macro F1"),
    Metric("micro_f1", "micro F1"),
    Metric("sample_f1", "sample F1"),
    Metric("subset_accuracy", "subset accuracy"),
    Metric("mean_ap", "mean average precision"),
    Metric("hierarchical_precision", "hierarchical precision"),
    Metric("hierarchical_recall", "hierarchical recall"),
    Metric("hierarchical_f1", "hierarchical F1"),
    Metric("calibration_error", "calibration error", higher_is_better=False, digits=4),
    Metric("brier", "Brier score", higher_is_better=False, digits=4),
)


@dataclass(frozen=True)
class _System:
    """One system's metrics as they are and, where asked for, on resamples."""

    points: Measured
    resampled: Measured  # empty without resamples

    def estimate(self, key: str, level: float) -> Estimate:
        return _estimate(self.points[key], self.resampled.get(key), level)

    def minus(self, other: _System, key: str, level: float) -> Estimate:
        """Estimate the paired difference."""
        paired = self.resampled[key] - other.resampled[key] if self.resampled else None
        return _estimate(self.points[key] - other.points[key], paired, level, lowest=-1)

    def node_estimates(self, key: str, level: float, wilson: Sequence[Floats] = ()) -> list[Estimate]:
        """Estimate a metric of every node; the interval is widened to Wilson's where that is given and wider.

        Where all of three positives are found, every resample finds all of them too, and the bootstrap alone would
        have no doubt.
        """
        points = self.points[key]
        if not self.resampled:
            return [Estimate(_plain(point)) for point in points]
        low, high = (np.clip(bound, 0, 1) for bound in interval(self.resampled[key], points, level))
        if wilson:
            low, high = np.fmin(low, wilson[0]), np.fmax(high, wilson[1])
        return [Estimate(*map(_plain, values)) for values in zip(points, low, high, strict=True)]


def compute_results(evaluation: Evaluation, settings: ReportSettings | None = None) -> Results:
    """Compute every metric of an evaluation.

    Args:
        evaluation: what the systems answered, and the truth.
        settings: resamples, interval level and seed; the defaults where None.

    Returns:
        The results; the same evaluation and settings give the same numbers.
    """
    settings = settings or ReportSettings()
    answers = {"ensemble": evaluation.ensemble}
    if evaluation.baseline:
        answers["baseline"] = evaluation.baseline
    measures = {name: SystemMeasure.prepare(evaluation, one) for name, one in answers.items()}
    resampled = measure_resamples(evaluation, measures, settings)
    systems = {name: _System(measure.measure(), resampled[name]) for name, measure in measures.items()}
    level = settings.interval
    return Results(
        scope=_scope(evaluation, settings),
        headline=tuple(_row(metric, systems, level) for metric in HEADLINE),
        levels=tuple(
            LevelRows(
                name=name,
                nodes=len(evaluation.taxonomy.level(name)),
                f1=_row(Metric(level_key("f1", name), f"macro F1, {name} level"), systems, level),
                ap=_row(Metric(level_key("ap", name), f"mean AP, {name} level"), systems, level),
            )
            for name in evaluation.taxonomy.levels
        ),
        coherence={
            name: Coherence(*(one.estimate(key, level) for key in Coherence.__dataclass_fields__))
            for name, one in systems.items()
        },
        nodes=tuple(_node_rows(evaluation, systems, level)),
        reliability={name: _reliability(evaluation, one, level) for name, one in answers.items()},
        risk={name: risk_coverage(evaluation, one) for name, one in answers.items()},
        safe=safe_shares(evaluation),
    )


def _row(metric: Metric, systems: Mapping[str, _System], level: float) -> Row:
    ensemble, baseline = systems["ensemble"], systems.get("baseline")
    difference = ensemble.minus(baseline, metric.key, level) if baseline else None
    return Row(
        key=metric.key,
        name=metric.name,
        ensemble=ensemble.estimate(metric.key, level),
        baseline=baseline.estimate(metric.key, level) if baseline else None,
        difference=difference,
        verdict=judge(difference, metric.higher_is_better),
        higher_is_better=metric.higher_is_better,
        digits=metric.digits,
    )


def judge(difference: Estimate | None, higher_is_better: bool) -> Verdict | None:
    """Judge a paired difference by its interval; None where there is no interval.

    >>> judge(Estimate(0.02, 0.01, 0.03), higher_is_better=True)
    'better'
    >>> judge(Estimate(0.02, -0.01, 0.05), higher_is_better=True)
    'no clear difference'
    """
    if difference is None or difference.value is None or difference.low is None or difference.high is None:
        return None
    if difference.low <= 0 <= difference.high:
        return "no clear difference"
    return "better" if (difference.value > 0) == higher_is_better else "worse"


def _estimate(point: Floats, resampled: Floats | None, level: float, lowest: float = 0) -> Estimate:
    if resampled is None:
        return Estimate(_plain(point))
    low, high = (_plain(np.clip(bound, lowest, 1)) for bound in interval(resampled, point, level))
    return Estimate(_plain(point), low, high)


def _plain(value: Floats | float) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _scope(evaluation: Evaluation, settings: ReportSettings) -> Scope:
    leaves, facts = evaluation.leaf_columns, evaluation.facts
    positives = (evaluation.targets & evaluation.known)[:, leaves].sum(axis=0)
    members, baseline = (
        {name: cost.model_dump() for name, cost in costs.items()} for costs in (facts.members, facts.baseline_members)
    )
    accepted = (facts.acceptance or {}).get("accepted")
    return Scope(
        part=facts.part,
        simulated=facts.simulated,
        split_digest=facts.split_digest,
        pack_digest=facts.pack_digest,
        taxonomy=evaluation.taxonomy.name,
        samples=len(evaluation.ids),
        units=len(np.unique(number_units(evaluation.groups))),
        positives=int(positives.sum()),
        classes=int((positives > 0).sum()),
        left_out=tuple(leaf for leaf, number in zip(evaluation.taxonomy.leaves, positives, strict=True) if not number),
        resamples=settings.bootstrap,
        interval=settings.interval,
        members=members,
        baseline_members=baseline,
        uses_baseline=bool(baseline) and members.keys() == baseline.keys() and accepted is False,
    )


def _node_rows(evaluation: Evaluation, systems: Mapping[str, _System], level: float) -> list[NodeRow]:
    taxonomy, thresholds = evaluation.taxonomy, evaluation.ensemble.thresholds
    counts = metrics.count(evaluation.ensemble.present, evaluation.targets, evaluation.known)
    wilson: dict[str, Sequence[Floats]] = {
        "precision": metrics.wilson(counts.tp, counts.tp + counts.fp, level),
        "recall": metrics.wilson(counts.tp, counts.tp + counts.fn, level),
    }
    keys = tuple(NodeEstimates.__dataclass_fields__)
    ensemble = {key: systems["ensemble"].node_estimates(key, level, wilson.get(key, ())) for key in keys}
    baseline = {key: systems["baseline"].node_estimates(key, level) for key in keys} if "baseline" in systems else None
    return [
        NodeRow(
            node=node,
            leaf=taxonomy.is_leaf(node),
            depth=taxonomy.depth(node),
            positives=int(counts.tp[j] + counts.fn[j]),
            tp=int(counts.tp[j]),
            fp=int(counts.fp[j]),
            fn=int(counts.fn[j]),
            tn=int(counts.tn[j]),
            threshold=None if thresholds is None else _plain(thresholds[j]),
            baseline=NodeEstimates(**{key: baseline[key][j] for key in keys}) if baseline else None,
            **{key: ensemble[key][j] for key in keys},
        )
        for j, node in enumerate(taxonomy.nodes)
    ]


def _reliability(
    evaluation: Evaluation, answers: SystemAnswers, level: float, bins: int = 10
) -> tuple[ReliabilityBin, ...]:
    """Compare probability with the share that is true, over all leaves together, in bins of equal width."""
    leaves = evaluation.leaf_columns
    sums = metrics.calibration_sums(
        answers.probs[:, leaves], evaluation.targets[:, leaves], evaluation.known[:, leaves], bins
    )
    entries, probs, truth = (values.sum(axis=0) for values in (sums.entries, sums.probs, sums.truth))
    low, high = metrics.wilson(truth, entries, level)
    return tuple(
        ReliabilityBin(
            entries=int(entries[k]),
            prob=float(probs[k] / entries[k]),
            share=float(truth[k] / entries[k]),
            low=float(low[k]),
            high=float(high[k]),
        )
        for k in range(bins)
        if entries[k]
    )
