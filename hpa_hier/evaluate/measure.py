"""Measure: all metrics of one system at once, for the test part as it is or for many resamples of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpa_hier.metrics import scores as metrics
from hpa_hier.metrics.bootstrap import resamples
from hpa_hier.metrics.groups import number_units
from hpa_hier.runs.evaluation import Evaluation, SystemAnswers
from hpa_hier.settings.recipe import ReportSettings

Floats = npt.NDArray[np.floating]
Columns = npt.NDArray[np.intp]
Measured = dict[str, Floats]  # metric → () or (N,), with a leading R axis where resampled


def level_key(metric: str, level: str) -> str:
    """Return the key of a level's mean "f1" or "ap" among measured values."""
    return f"{metric} of {level}"


@dataclass(frozen=True)
class SystemMeasure:
    """One system's answers beside the truth, with what does not depend on weights computed once."""

    answers: SystemAnswers
    targets: metrics.Bools  # (B, N)
    known: metrics.Bools  # (B, N)
    leaves: Columns
    levels: Mapping[str, Columns]  # level → its nodes' columns
    sample_values: Mapping[str, npt.NDArray[np.generic]]  # metric → (B,), averaged over samples
    calibration: metrics.CalibrationSums  # of the leaves

    @classmethod
    def prepare(cls, evaluation: Evaluation, answers: SystemAnswers) -> SystemMeasure:
        """Compute what is the same for every resample."""
        taxonomy, leaves, edges = evaluation.taxonomy, evaluation.leaf_columns, evaluation.edges
        targets, known = evaluation.targets[:, leaves], evaluation.known[:, leaves]
        present = answers.present[:, leaves]
        if answers.thresholds is None:  # then decisions before closing are not known
            incoherent_before = np.full(len(present), np.nan)
        else:
            incoherent_before = metrics.incoherent(answers.raw >= answers.thresholds, edges).astype(float)
        return cls(
            answers=answers,
            targets=evaluation.targets,
            known=evaluation.known,
            leaves=leaves,
            levels={
                name: np.array([taxonomy.column[node] for node in taxonomy.level(name)], np.intp)
                for name in taxonomy.levels
            },
            sample_values={
                "sample_f1": metrics.sample_f1(present, targets, known),
                "subset_accuracy": metrics.exact_match(present, targets, known),
                "edges_before": metrics.edge_violations(answers.raw, edges),
                "edges_after": metrics.edge_violations(answers.probs, edges),
                "samples_before": incoherent_before,
                "samples_after": metrics.incoherent(answers.present, edges),
            },
            calibration=metrics.calibration_sums(answers.probs[:, leaves], targets, known),
        )

    def measure(self, weights: Floats | None = None) -> Measured:
        """Compute every metric.

        Args:
            weights: (R, B) how often each resample holds each sample; None for the samples as they are.

        Returns:
            Metric → () or (N,), with a leading R axis where weights were given.
        """
        answers, leaves = self.answers, self.leaves
        counts = metrics.count(answers.present, self.targets, self.known, weights)
        on_leaves = counts.columns(leaves)
        ap = metrics.average_precision(answers.probs, self.targets, self.known, weights)
        targets, known = self.targets[:, leaves], self.known[:, leaves]
        measured = {key: metrics.weighted_mean(values, weights) for key, values in self.sample_values.items()}
        measured |= {
            "macro_f1": metrics.macro_f1(on_leaves),
            "micro_f1": metrics.micro_f1(on_leaves),
            "mean_ap": metrics.mean_of_defined(ap[..., leaves]),
            # over all nodes, whose decisions and targets are closed
            "hierarchical_precision": metrics.micro_precision(counts),
            "hierarchical_recall": metrics.micro_recall(counts),
            "hierarchical_f1": metrics.micro_f1(counts),
            "calibration_error": metrics.calibration_error(self.calibration, weights),
            "brier": metrics.brier(answers.probs[:, leaves], targets, known, weights),
            "precision": metrics.precision(counts),
            "recall": metrics.recall(counts),
            "f1": metrics.f1(counts),
            "ap": ap,
        }
        for name, columns in self.levels.items():
            measured[level_key("f1", name)] = metrics.macro_f1(counts.columns(columns))
            measured[level_key("ap", name)] = metrics.mean_of_defined(ap[..., columns])
        return measured


def measure_resamples(
    evaluation: Evaluation, systems: Mapping[str, SystemMeasure], settings: ReportSettings
) -> dict[str, Measured]:
    """Measure all systems on the same resamples, so that their differences are paired.

    Returns:
        System → metric → (R,) or (R, N); empty dictionaries where no resamples were asked for.
    """
    rng = np.random.default_rng(settings.seed)
    chunks: dict[str, list[Measured]] = {name: [] for name in systems}
    for weights in resamples(number_units(evaluation.groups), settings.bootstrap, rng):
        for name, system in systems.items():
            chunks[name].append(system.measure(weights))
    return {
        name: {key: np.concatenate([np.asarray(chunk[key]) for chunk in parts]) for key in (parts[0] if parts else {})}
        for name, parts in chunks.items()
    }
