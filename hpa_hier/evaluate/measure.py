"""Measure: all metrics of one system on the test part, each with what its interval needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hpa_hier.metrics import influence, scores
from hpa_hier.metrics.groups import number_units
from hpa_hier.metrics.influence import Measured, Sampling
from hpa_hier.metrics.scores import Bools
from hpa_hier.runs.evaluation import Evaluation, SystemAnswers

_Value = TypeVar("_Value", bound=np.generic)


def level_key(metric: str, level: str) -> str:
    """Return the key of a level's "f1", "ap" or "top" among measured values."""
    return f"{metric} of {level}"


@dataclass(frozen=True)
class SystemMeasure:
    """One system's answers beside the truth."""

    evaluation: Evaluation
    answers: SystemAnswers
    level: float = field(default=0.95, kw_only=True)  # of the intervals

    @cached_property
    def sampling(self) -> Sampling:
        """How the samples were drawn: by antibody, where that is known."""
        return Sampling(number_units(self.evaluation.groups), self.level)

    @cached_property
    def measured(self) -> dict[str, Measured]:
        """Every metric: () for the whole part, or (N,) for "precision", "recall", "f1" and "ap" of each node."""
        return self._by_node | self._means | self._pooled | self._probabilities

    @cached_property
    def _by_node(self) -> dict[str, Measured]:
        present, targets, known = self.answers.present, self.evaluation.targets, self.evaluation.known
        right = present & targets & known
        ranking = self.answers.probs if self.answers.ranking is None else self.answers.ranking
        return {
            "precision": influence.share_by_node(right, present & known, self.sampling),
            "recall": influence.share_by_node(right, targets & known, self.sampling),
            "f1": influence.f1_by_node(present, targets, known, self.sampling),
            "ap": influence.average_precision_by_node(ranking, targets, known, self.sampling),
        }

    @cached_property
    def _means(self) -> dict[str, Measured]:
        """Means over nodes: of all leaves, and of each level."""
        f1, ap, taxonomy = self._by_node["f1"], self._by_node["ap"], self.evaluation.taxonomy
        means = {"macro_f1": f1.mean(self.evaluation.leaf_columns), "mean_ap": ap.mean(self.evaluation.leaf_columns)}
        for name in taxonomy.levels:
            columns = [taxonomy.column[node] for node in taxonomy.level(name)]
            means |= {level_key("f1", name): f1.mean(columns), level_key("ap", name): ap.mean(columns)}
            top = scores.top_is_right(*self._on(columns, self.answers.probs))
            means[level_key("top", name)] = influence.mean_of_samples(top, self.sampling)
        return means

    @cached_property
    def _pooled(self) -> dict[str, Measured]:
        """Metrics that are means over samples, or ratios of sums over them."""
        answers, edges = self.answers, self.evaluation.edges
        if answers.thresholds is None:  # then decisions before closing are not known
            incoherent_before = np.full(len(answers.present), np.nan)
        else:
            incoherent_before = scores.incoherent(answers.raw >= answers.thresholds, edges).astype(float)
        leaves = self._on_leaves(answers.present)
        present, targets, known = answers.present, self.evaluation.targets, self.evaluation.known
        samples = {
            "sample_f1": scores.sample_f1(*leaves),
            "subset_accuracy": scores.exact_match(*leaves),
            "edges_before": scores.edge_violations(answers.raw, edges),
            "edges_after": scores.edge_violations(answers.probs, edges),
            "samples_before": incoherent_before,
            "samples_after": scores.incoherent(answers.present, edges),
        }
        right, called, true = (x.sum(axis=1) for x in (present & targets & known, present & known, targets & known))
        found = (leaves[0] & leaves[1] & leaves[2]).sum(axis=1)
        either = (leaves[0] & leaves[2]).sum(axis=1) + (leaves[1] & leaves[2]).sum(axis=1)
        sums = {
            "micro_f1": (2 * found, either),
            # over all nodes, whose decisions and targets are closed
            "hierarchical_precision": (right, called),
            "hierarchical_recall": (right, true),
            "hierarchical_f1": (2 * right, called + true),
        }
        return {key: influence.mean_of_samples(values, self.sampling) for key, values in samples.items()} | {
            key: influence.ratio_of_sums(*parts, self.sampling) for key, parts in sums.items()
        }

    @cached_property
    def _probabilities(self) -> dict[str, Measured]:
        """Losses of the leaves' probabilities; what they span is the loss of knowing each leaf's frequency alone."""
        leaves = self._on_leaves(self.answers.probs)
        _, targets, known = leaves
        entries = known.sum(axis=1)
        share = (targets & known).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        frequency = (np.broadcast_to(share, targets.shape), targets, known)
        given, by_frequency = (
            {"brier": scores.squared_errors(*one), "log_loss": scores.sample_losses(*one)[0]}
            for one in (leaves, frequency)
        )
        measured = {
            key: influence.ratio_of_sums(given[key], entries, self.sampling, by_frequency[key].sum() / entries.sum())
            for key in given
        }
        error = influence.calibration_error(scores.calibration_sums(*leaves), self.sampling, float(share.mean()))
        return measured | {"calibration_error": error}

    def _on_leaves(self, values: npt.NDArray[_Value]) -> tuple[npt.NDArray[_Value], Bools, Bools]:
        return self._on(self.evaluation.leaf_columns, values)

    def _on(
        self, columns: Sequence[int] | npt.NDArray[np.intp], values: npt.NDArray[_Value]
    ) -> tuple[npt.NDArray[_Value], Bools, Bools]:
        """Return columns of (B, N) values, of the targets and of what is known."""
        return values[:, columns], self.evaluation.targets[:, columns], self.evaluation.known[:, columns]
