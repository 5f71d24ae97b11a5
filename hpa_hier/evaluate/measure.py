"""Measure: all metrics of one system at once, for the test part as it is or for many resamples of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hpa_hier.metrics import scores as metrics
from hpa_hier.metrics.bootstrap import resamples
from hpa_hier.metrics.groups import number_units
from hpa_hier.metrics.scores import Bools, Floats
from hpa_hier.runs.evaluation import Evaluation, SystemAnswers
from hpa_hier.settings.recipe import ReportSettings

Measured = dict[str, Floats]  # metric → () or (N,), with a leading R axis where resampled
_Value = TypeVar("_Value", bound=np.generic)


def level_key(metric: str, level: str) -> str:
    """Return the key of a level's "f1", "ap" or "top" among measured values."""
    return f"{metric} of {level}"


@dataclass(frozen=True)
class SystemMeasure:
    """One system's answers beside the truth, with what does not depend on weights computed once."""

    evaluation: Evaluation
    answers: SystemAnswers

    @cached_property
    def _sample_values(self) -> dict[str, npt.NDArray[np.generic]]:
        """Metrics that are means over samples: metric → (B,)."""
        answers, edges = self.answers, self.evaluation.edges
        if answers.thresholds is None:  # then decisions before closing are not known
            incoherent_before = np.full(len(answers.present), np.nan)
        else:
            incoherent_before = metrics.incoherent(answers.raw >= answers.thresholds, edges).astype(float)
        leaves = self._on_leaves(answers.present)
        right = {level_key("top", name): self._top_is_right(name) for name in self.evaluation.taxonomy.levels}
        return right | {
            "sample_f1": metrics.sample_f1(*leaves),
            "subset_accuracy": metrics.exact_match(*leaves),
            "edges_before": metrics.edge_violations(answers.raw, edges),
            "edges_after": metrics.edge_violations(answers.probs, edges),
            "samples_before": incoherent_before,
            "samples_after": metrics.incoherent(answers.present, edges),
        }

    @cached_property
    def _calibration(self) -> metrics.CalibrationSums:
        return metrics.calibration_sums(*self._on_leaves(self.answers.probs))

    def _top_is_right(self, level: str) -> Floats:
        """Tell, (B,), whether the most likely node of a level is annotated; NaN where the annotation does not tell."""
        column = self.evaluation.taxonomy.column
        columns = [column[node] for node in self.evaluation.taxonomy.level(level)]
        return metrics.top_is_right(*self._on(columns, self.answers.probs))

    def _on_leaves(self, values: npt.NDArray[_Value]) -> tuple[npt.NDArray[_Value], Bools, Bools]:
        return self._on(self.evaluation.leaf_columns, values)

    def _on(
        self, columns: Sequence[int] | npt.NDArray[np.intp], values: npt.NDArray[_Value]
    ) -> tuple[npt.NDArray[_Value], Bools, Bools]:
        """Return columns of (B, N) values, of the targets and of what is known."""
        return values[:, columns], self.evaluation.targets[:, columns], self.evaluation.known[:, columns]

    def measure(self, weights: Floats | None = None) -> Measured:
        """Compute every metric.

        Args:
            weights: (R, B) how often each resample holds each sample; None for the samples as they are.

        Returns:
            Metric → () or (N,), with a leading R axis where weights were given.
        """
        answers, evaluation, leaves = self.answers, self.evaluation, self.evaluation.leaf_columns
        counts = metrics.count(answers.present, evaluation.targets, evaluation.known, weights)
        ap = metrics.average_precision(answers.probs, evaluation.targets, evaluation.known, weights)
        measured = {key: metrics.weighted_mean(values, weights) for key, values in self._sample_values.items()}
        measured |= {
            "macro_f1": metrics.macro_f1(counts.columns(leaves)),
            "micro_f1": metrics.micro_f1(counts.columns(leaves)),
            "mean_ap": metrics.mean_of_defined(ap[..., leaves]),
            # over all nodes, whose decisions and targets are closed
            "hierarchical_precision": metrics.precision(counts.pooled()),
            "hierarchical_recall": metrics.recall(counts.pooled()),
            "hierarchical_f1": metrics.micro_f1(counts),
            "calibration_error": metrics.calibration_error(self._calibration, weights),
            "brier": metrics.brier(*self._on_leaves(answers.probs), weights),
            "log_loss": metrics.log_loss(*self._on_leaves(answers.probs), weights),
            "precision": metrics.precision(counts),
            "recall": metrics.recall(counts),
            "f1": metrics.f1(counts),
            "ap": ap,
        }
        for name in evaluation.taxonomy.levels:
            columns = [evaluation.taxonomy.column[node] for node in evaluation.taxonomy.level(name)]
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
