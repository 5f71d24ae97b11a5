"""Measure: all figures of one system at once, for the test part as it is or for many resamples of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from hpa_hier.evaluate.evaluation import Answers, Evaluation
from hpa_hier.metrics import scores as metrics
from hpa_hier.metrics.bootstrap import resamples
from hpa_hier.metrics.groups import number_units
from hpa_hier.settings.recipe import ReportSettings

Floats = npt.NDArray[np.floating]
Measured = dict[str, Floats]  # figure → () or (N,), with a leading R axis where resampled
Measure = Callable[[Floats | None], Measured]  # of weights (R, B), or of None for the samples as they are


def measure_of(evaluation: Evaluation, answers: Answers) -> Measure:
    """Prepare a system's figures: what does not depend on the weights is computed once."""
    taxonomy, leaves, edges = evaluation.taxonomy, evaluation.leaf_columns, evaluation.edges
    targets, known, present, probs = evaluation.targets, evaluation.known, answers.present, answers.probs
    on_leaves = (present[:, leaves], targets[:, leaves], known[:, leaves])
    levels = {name: [taxonomy.column[node] for node in taxonomy.level(name)] for name in taxonomy.levels}
    bins = metrics.calibration_sums(probs[:, leaves], *on_leaves[1:])
    if answers.thresholds is None:  # then decisions before closing are not known
        incoherent_before = np.full(len(present), np.nan)
    else:
        incoherent_before = metrics.incoherent(answers.raw >= answers.thresholds, edges).astype(float)
    of_samples = {
        "sample_f1": metrics.sample_f1(*on_leaves),
        "subset_accuracy": metrics.exact_match(*on_leaves),
        "edges_before": metrics.edge_violations(answers.raw, edges),
        "edges_after": metrics.edge_violations(probs, edges),
        "samples_before": incoherent_before,
        "samples_after": metrics.incoherent(present, edges),
    }

    def measure(weights: Floats | None) -> Measured:
        counts = metrics.count(present, targets, known, weights)
        ap = metrics.average_precision(probs, targets, known, weights)
        found: Measured = {key: metrics.weighted_mean(values, weights) for key, values in of_samples.items()}
        found |= {
            "macro_f1": metrics.macro_f1(counts.columns(leaves)),
            "micro_f1": metrics.micro_f1(counts.columns(leaves)),
            "mean_ap": metrics.mean_of_defined(ap[..., leaves]),
            # over all nodes, whose decisions and targets are closed
            "hierarchical_precision": metrics.micro_precision(counts),
            "hierarchical_recall": metrics.micro_recall(counts),
            "hierarchical_f1": metrics.micro_f1(counts),
            "calibration_error": metrics.calibration_error(bins, weights),
            "brier": metrics.brier(probs[:, leaves], *on_leaves[1:], weights),
            "precision": metrics.precision(counts),
            "recall": metrics.recall(counts),
            "f1": metrics.f1(counts),
            "ap": ap,
        }
        for name, columns in levels.items():
            found[f"f1 of {name}"] = metrics.macro_f1(counts.columns(columns))
            found[f"ap of {name}"] = metrics.mean_of_defined(ap[..., columns])
        return found

    return measure


def resampled(evaluation: Evaluation, measure: Mapping[str, Measure], settings: ReportSettings) -> dict[str, Measured]:
    """Measure all systems on the same resamples, so that their differences are paired.

    Returns:
        System → figure → (R,) or (R, N); empty dictionaries where no resamples were asked for.
    """
    unit = number_units(evaluation.groups)
    rng = np.random.default_rng(settings.seed)
    chunks: dict[str, list[Measured]] = {name: [] for name in measure}
    for weights in resamples(unit, settings.bootstrap, rng):
        for name, one in measure.items():
            chunks[name].append(one(weights))
    return {
        name: {key: np.concatenate([np.asarray(chunk[key]) for chunk in parts]) for key in (parts[0] if parts else {})}
        for name, parts in chunks.items()
    }
