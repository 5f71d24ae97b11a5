"""Compute: an evaluation's results, each metric with its interval."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from hpa_hier.evaluate.measure import Measured, SystemMeasure, level_key, measure_resamples
from hpa_hier.evaluate.results import (
    Coherence,
    Estimate,
    LevelRows,
    NodeEstimates,
    NodeRow,
    ReliabilityBin,
    Results,
    RiskPoint,
    Row,
    SafeShare,
    Scope,
    Verdict,
)
from hpa_hier.metrics import scores as metrics
from hpa_hier.metrics.bootstrap import interval
from hpa_hier.metrics.groups import number_units
from hpa_hier.metrics.scores import Bools, Floats
from hpa_hier.runs.evaluation import Evaluation, SystemAnswers
from hpa_hier.settings.recipe import ReportSettings


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
    level: float  # of the intervals

    def estimate(self, key: str) -> Estimate:
        return _estimates(self.points[key], self.resampled.get(key), self.level)[0]

    def minus(self, other: _System, key: str) -> Estimate:
        """Estimate the paired difference."""
        paired = self.resampled[key] - other.resampled[key] if self.resampled else None
        return _estimates(self.points[key] - other.points[key], paired, self.level, lowest=-1)[0]

    def node_estimates(self, counts: metrics.Counts | None = None) -> list[NodeEstimates]:
        """Estimate each node's metrics; with counts, precision and recall have Wilson's interval where that is wider.

        Where all of three positives are found, every resample finds all of them too, and the bootstrap alone would
        have no doubt.
        """
        keys = NodeEstimates.__dataclass_fields__
        wilson = {}
        if counts:
            wilson["precision"] = metrics.wilson(counts.tp, counts.tp + counts.fp, self.level)
            wilson["recall"] = metrics.wilson(counts.tp, counts.tp + counts.fn, self.level)
        columns = [_estimates(self.points[k], self.resampled.get(k), self.level, wilson=wilson.get(k)) for k in keys]
        return [NodeEstimates(*row) for row in zip(*columns, strict=True)]


def _estimates(
    points: Floats,
    resampled: Floats | None,
    level: float,
    lowest: float = 0,
    wilson: tuple[Floats, Floats] | None = None,
) -> list[Estimate]:
    """Return the estimate of one metric, or of each of (N,)."""
    if resampled is None:
        return [Estimate(_plain(point)) for point in np.atleast_1d(points)]
    low, high = (np.clip(bound, lowest, 1) for bound in interval(resampled, points, level))
    if wilson:
        low, high = np.fmin(low, wilson[0]), np.fmax(high, wilson[1])
    return [Estimate(*map(_plain, row)) for row in zip(*map(np.atleast_1d, (points, low, high)), strict=True)]


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


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
    measures = {name: SystemMeasure(evaluation, one) for name, one in answers.items()}
    resampled = measure_resamples(evaluation, measures, settings)
    level = settings.interval
    systems = {name: _System(measure.measure(), resampled[name], level) for name, measure in measures.items()}
    return Results(
        scope=_scope(evaluation, settings),
        headline=tuple(_row(metric, systems) for metric in HEADLINE),
        levels=tuple(
            LevelRows(
                name=name,
                nodes=len(evaluation.taxonomy.level(name)),
                f1=_row(Metric(level_key("f1", name), f"macro F1, {name} level"), systems),
                ap=_row(Metric(level_key("ap", name), f"mean AP, {name} level"), systems),
            )
            for name in evaluation.taxonomy.levels
        ),
        coherence={
            name: Coherence(*map(one.estimate, Coherence.__dataclass_fields__)) for name, one in systems.items()
        },
        nodes=tuple(_node_rows(evaluation, systems)),
        reliability={name: _reliability(evaluation, one, level) for name, one in answers.items()},
        risk={name: risk_coverage(evaluation, one) for name, one in answers.items()},
        safe=safe_shares(evaluation),
    )


def _row(metric: Metric, systems: Mapping[str, _System]) -> Row:
    ensemble, baseline = systems["ensemble"], systems.get("baseline")
    difference = ensemble.minus(baseline, metric.key) if baseline else None
    return Row(
        **asdict(metric),
        ensemble=ensemble.estimate(metric.key),
        baseline=baseline.estimate(metric.key) if baseline else None,
        difference=difference,
        verdict=judge(difference, metric.higher_is_better),
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


def _node_rows(evaluation: Evaluation, systems: Mapping[str, _System]) -> Iterator[NodeRow]:
    taxonomy, thresholds = evaluation.taxonomy, evaluation.ensemble.thresholds
    counts = metrics.count(evaluation.ensemble.present, evaluation.targets, evaluation.known)
    ensemble = systems["ensemble"].node_estimates(counts)
    baseline = systems["baseline"].node_estimates() if "baseline" in systems else None
    for j, node in enumerate(taxonomy.nodes):
        yield NodeRow(
            node=node,
            leaf=taxonomy.is_leaf(node),
            depth=taxonomy.depth(node),
            positives=int(counts.tp[j] + counts.fn[j]),
            tp=int(counts.tp[j]),
            fp=int(counts.fp[j]),
            fn=int(counts.fn[j]),
            tn=int(counts.tn[j]),
            threshold=None if thresholds is None else _plain(thresholds[j]),
            baseline=baseline[j] if baseline else None,
            **vars(ensemble[j]),
        )


def _reliability(
    evaluation: Evaluation, answers: SystemAnswers, level: float, bins: int = 10
) -> tuple[ReliabilityBin, ...]:
    """Compare probability with the share that is true, over all leaves together, in bins of equal width."""
    leaves = evaluation.leaf_columns
    sums = metrics.calibration_sums(
        answers.probs[:, leaves], evaluation.targets[:, leaves], evaluation.known[:, leaves], bins
    )
    entries, probs, truth = (values.sum(axis=0) for values in (sums.entries, sums.probs, sums.truth))
    columns = (probs / np.maximum(entries, 1), truth / np.maximum(entries, 1), *metrics.wilson(truth, entries, level))
    return tuple(
        ReliabilityBin(int(entries[k]), *(float(column[k]) for column in columns)) for k in np.flatnonzero(entries)
    )


def risk_coverage(evaluation: Evaluation, answers: SystemAnswers, points: int = 50) -> tuple[RiskPoint, ...]:
    """Follow each sample's most likely leaf from the most confident sample down; unlabelled leaves are left out."""
    leaves = evaluation.leaf_columns
    rows = np.arange(len(answers.probs))
    best = leaves[np.argmax(answers.probs[:, leaves], axis=1)]
    known = evaluation.known[rows, best]
    confidence, right = answers.probs[rows, best][known], evaluation.targets[rows, best][known]
    if not len(right):
        return ()
    wrong = np.cumsum(~right[np.argsort(-confidence, kind="stable")])
    ends = np.unique(np.linspace(1, len(right), min(points, len(right))).round().astype(int))
    return tuple(RiskPoint(float(end / len(right)), float(wrong[end - 1] / end)) for end in ends)


def safe_shares(evaluation: Evaluation) -> tuple[SafeShare, ...]:
    """Count safe answers: all together, leaves, groups of each depth, and unsure.

    Returns:
        Rows with 95 % Wilson intervals for the share that is right; none where the evaluation holds no safe answers.
    """
    if not evaluation.safe:
        return ()
    taxonomy, rows = evaluation.taxonomy, np.arange(len(evaluation.safe))
    column = np.array([taxonomy.column.get(name, -1) for name in evaluation.safe])
    depth = np.array([taxonomy.depth(name) if name in taxonomy.column else 0 for name in evaluation.safe])
    answered, leaf = column >= 0, np.isin(column, evaluation.leaf_columns)
    known = answered & evaluation.known[rows, column]
    right = known & evaluation.targets[rows, column]
    depth[leaf] = 0
    kinds = {"all answers": answered, "leaves": leaf}
    kinds |= {f"groups at depth {d}": depth == d for d in sorted({*depth.tolist()} - {0}, reverse=True)}
    return tuple(_share(name, chosen, known, right) for name, chosen in (kinds | {"unsure": ~answered}).items())


def _share(name: str, chosen: Bools, known: Bools, right: Bools) -> SafeShare:
    answers, hits = int((chosen & known).sum()), int((chosen & right).sum())
    if not answers:
        return SafeShare(name, int(chosen.sum()), float(chosen.mean()), None, None, None)
    low, high = metrics.wilson(np.array(float(hits)), np.array(float(answers)), 0.95)
    return SafeShare(name, int(chosen.sum()), float(chosen.mean()), hits / answers, float(low), float(high))
