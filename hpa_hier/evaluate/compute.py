"""Compute: an evaluation's results, each metric with its interval."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpa_hier.ensemble import verdict
from hpa_hier.evaluate.estimate import System, judge, plain
from hpa_hier.evaluate.measure import SystemMeasure, level_key
from hpa_hier.evaluate.results import Coherence, Compared, Estimate, LevelRows, NodeRow, Results, Row, Scope, Verdict
from hpa_hier.evaluate.trust import reliability, risk_coverage, safe_shares
from hpa_hier.metrics import scores as metrics
from hpa_hier.metrics.groups import number_units
from hpa_hier.runs.evaluation import Evaluation
from hpa_hier.settings.recipe import ReportSettings


@dataclass(frozen=True)
class Metric:
    """A metric of the headline table."""

    key: str
    name: str
    higher_is_better: bool = True
    digits: int = 3  # shown after the decimal point
    largest: float = 1  # that it can be


HEADLINE = (
    Metric("macro_f1", "macro F1"),
    Metric("micro_f1", "micro F1"),
    Metric("sample_f1", "sample F1"),
    Metric("subset_accuracy", "subset accuracy"),
    Metric("mean_ap", "mean average precision"),
    Metric("log_loss", "log loss", higher_is_better=False, digits=4, largest=math.inf),
    Metric("hierarchical_precision", "hierarchical precision"),
    Metric("hierarchical_recall", "hierarchical recall"),
    Metric("hierarchical_f1", "hierarchical F1"),
    Metric("calibration_error", "calibration error", higher_is_better=False, digits=4),
    Metric("brier", "Brier score", higher_is_better=False, digits=4),
)


def compute_results(evaluation: Evaluation, settings: ReportSettings | None = None) -> Results:
    """Compute every metric of an evaluation.

    Args:
        evaluation: what the systems answered, and the truth.
        settings: with the level of the intervals; the defaults where None.

    Returns:
        The results; the same evaluation and settings give the same numbers.
    """
    settings = settings or ReportSettings()
    level = settings.interval
    systems = {
        name: System(SystemMeasure(evaluation, answers, level=level)) for name, answers in evaluation.systems.items()
    }
    learned = {name: answers for name, answers in evaluation.systems.items() if name != "trivial"}
    levels = {name: level_metrics(name) for name in evaluation.taxonomy.levels}
    every = [*HEADLINE, *(metric for metrics in levels.values() for metric in metrics.values())]
    verdicts = {
        name: _judge(every, systems["ensemble"], other) for name, other in systems.items() if name != "ensemble"
    }
    rows = {metric.key: _row(metric, systems, verdicts) for metric in every}
    return Results(
        scope=_scope(evaluation, settings),
        headline=tuple(rows[metric.key] for metric in HEADLINE),
        levels=tuple(
            LevelRows(name, evaluation.taxonomy.level(name), **{part: rows[one.key] for part, one in parts.items()})
            for name, parts in levels.items()
        ),
        coherence={name: _coherence(systems[name]) for name in learned},
        nodes=tuple(_node_rows(evaluation, systems)),
        reliability={name: reliability(evaluation, answers, level) for name, answers in learned.items()},
        risk={name: risk_coverage(evaluation, answers) for name, answers in learned.items()},
        safe=safe_shares(evaluation),
    )


def level_metrics(level: str) -> dict[str, Metric]:
    """Return a level's metrics: "f1", "ap" and "top"."""
    names = {"f1": "macro F1", "ap": "mean AP", "top": "most likely right"}
    return {part: Metric(level_key(part, level), f"{name}, {level} level") for part, name in names.items()}


def _judge(rows: Sequence[Metric], ours: System, theirs: System) -> dict[str, Verdict]:
    """Judge all differences to one system together, since they stand in one table."""
    differences = {one.key: (ours.compare(theirs, one.key), one.higher_is_better) for one in rows}
    return judge(differences, ours.measure.level)


def _row(metric: Metric, systems: Mapping[str, System], verdicts: Mapping[str, Mapping[str, Verdict]]) -> Row:
    ensemble, key, largest = systems["ensemble"], metric.key, metric.largest
    others = {
        name: Compared(other.estimate(key, largest), ensemble.minus(other, key, largest), verdicts[name].get(key))
        for name, other in systems.items()
        if name != "ensemble"
    }
    return Row(key, metric.name, metric.higher_is_better, metric.digits, ensemble.estimate(key, largest), others)


def _coherence(system: System) -> Coherence:
    """Estimate how often answers are incoherent; after lifting and closing, 0 is no estimate and has no interval."""
    found = {key: system.estimate(key) for key in Coherence.__dataclass_fields__}
    return Coherence(**{key: Estimate(0.0) if one.value == 0 and "after" in key else one for key, one in found.items()})


def _scope(evaluation: Evaluation, settings: ReportSettings) -> Scope:
    leaves, facts = evaluation.leaf_columns, evaluation.facts
    positives = (evaluation.targets & evaluation.known)[:, leaves].sum(axis=0)
    members, baseline = (
        {name: cost.model_dump() for name, cost in costs.items()} for costs in (facts.members, facts.baseline_members)
    )
    accepted = (facts.acceptance or {}).get("accepted")
    return Scope(
        part=facts.part,
        source=facts.source,
        compared_with=facts.compared_with,
        simulated=facts.simulated,
        split_digest=facts.split_digest,
        pack_digest=facts.pack_digest,
        taxonomy=evaluation.taxonomy.name,
        samples=len(evaluation.ids),
        units=len(np.unique(number_units(evaluation.groups))),
        positives=int(positives.sum()),
        classes=int((positives > 0).sum()),
        left_out=tuple(leaf for leaf, number in zip(evaluation.taxonomy.leaves, positives, strict=True) if not number),
        interval=settings.interval,
        members=members,
        baseline_members=baseline,
        uses_baseline=bool(baseline)
        and not facts.compared_with
        and members.keys() == baseline.keys()
        and accepted is False,
        acceptance=verdict.Verdict.from_json(facts.acceptance).describe() if facts.acceptance else "",
        always=tuple(
            evaluation.taxonomy.nodes[j] for j in leaves[evaluation.trivial.present[:, leaves].mean(axis=0) > 0.5]
        )
        if evaluation.trivial
        else (),
    )


def _node_rows(evaluation: Evaluation, systems: Mapping[str, System]) -> Iterator[NodeRow]:
    taxonomy, thresholds = evaluation.taxonomy, evaluation.ensemble.thresholds
    counts = metrics.count(evaluation.ensemble.present, evaluation.targets, evaluation.known)
    ensemble = systems["ensemble"].node_estimates()
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
            threshold=None if thresholds is None else plain(thresholds[j]),
            baseline=baseline[j] if baseline else None,
            **vars(ensemble[j]),
        )
