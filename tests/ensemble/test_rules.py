"""A new rule is one object and one row: fitted, kept, read back, used and explained without another change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from ensemble_cases import draw_members, draw_truth, random_taxonomy
from scipy.special import expit

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble import ensemble_file
from hpa_hier.ensemble.combine.aggregate import Aggregate, Layout, MemberLogits, Tensors
from hpa_hier.ensemble.decide.rule import Choice, ThresholdOptions, ThresholdRule
from hpa_hier.ensemble.decide.threshold_rules import THRESHOLDS
from hpa_hier.ensemble.fit import fit
from hpa_hier.ensemble.rules import AGGREGATES, check_rules
from hpa_hier.errors import UserError
from hpa_hier.metrics.arrays import Floats
from hpa_hier.metrics.ranking import Ranked
from hpa_hier.predict.explanation.explained import Explained
from hpa_hier.predict.explanation.numbers import explain_in_numbers
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy


@dataclass(frozen=True)
class NoisyOr(Aggregate):
    """1 - the product of (1 - strength * p) over the members that answer: not linear in anything."""

    name: ClassVar[str] = "noisy_or"
    summary: ClassVar[str] = "a noisy-or of the members' calibrated probabilities"

    strength: float

    @classmethod
    def fit(cls, logits: MemberLogits, targets: Targets, taxonomy: Taxonomy, settings: EnsembleSettings) -> Self:
        candidates = [cls(strength) for strength in (0.1, 0.3, 0.5, 0.7, 0.9)]
        return min(candidates, key=lambda one: float(((one.apply(logits) - targets.present) ** 2)[targets.known].sum()))

    def apply(self, logits: MemberLogits) -> Floats:
        absent = np.ones(logits.values.shape[1:])
        for values, covers in zip(logits.values, logits.covers, strict=True):
            absent *= 1 - np.where(covers, self.strength * expit(values), 0.0)
        return 1 - absent

    def to_json(self, layout: Layout) -> dict[str, Any]:
        return {"strength": self.strength}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any], tensors: Tensors, layout: Layout) -> Self:
        return cls(float(kept["strength"]))


class Youden(ThresholdRule):
    """The threshold of largest recall + specificity - 1."""

    name: ClassVar[str] = "youden"

    def fit(self, ranked: Ranked, options: ThresholdOptions) -> Choice:
        others = ranked.counted & ~ranked.hits
        shares = [
            np.cumsum(one, axis=1) / np.maximum(one.sum(axis=1, keepdims=True), 1) for one in (ranked.hits, others)
        ]
        ranks = np.argmax(np.where(ranked.ends, shares[0] - shares[1], -np.inf), axis=1) + 1
        return Choice(ranked.thresholds_at(ranks), (self.name,) * len(ranks))


def test_a_new_aggregate_and_a_new_threshold_rule_are_used_from_fit_to_explanation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(AGGREGATES, NoisyOr.name, NoisyOr)
    monkeypatch.setitem(THRESHOLDS, Youden.name, Youden())
    rng = np.random.default_rng(0)
    taxonomy = random_taxonomy(rng)
    truth = draw_truth(rng, taxonomy, 120)
    members = draw_members(rng, truth, taxonomy)
    settings = EnsembleSettings(aggregate="noisy_or", thresholds="youden", bootstrap=10, folds=2)
    ensemble = fit(members, truth, taxonomy, settings)
    ensemble_file.save(ensemble, tmp_path)
    again = ensemble_file.load(tmp_path)
    one, other = ensemble.predict(members), again.predict(members)
    assert one.probs.tobytes() == other.probs.tobytes()
    assert one.present.tobytes() == other.present.tobytes()
    assert (taxonomy.close(one.present) == one.present).all()
    assert set(again.thresholds.rules) == {"youden"}
    assert (again.thresholds.low <= again.thresholds.high).all()
    text = explain_in_numbers(Explained(again, tuple(one.take([truth.ids[0]]) for one in members), "a test"))
    assert "together: a noisy-or of the members' calibrated probabilities; needs" in text
    assert "(youden, fitted on" in text


def test_a_rule_that_no_table_has_is_refused_with_the_choices() -> None:
    with pytest.raises(
        UserError, match=r"^ensemble\.aggregate: there is no 'median'; choose one of logistic_stack, mean"
    ):
        check_rules(EnsembleSettings(aggregate="median"))
    choices = "choose one of plugin, bagged, f1, fixed; did you mean 'plugin'"
    with pytest.raises(UserError, match=rf"^ensemble\.thresholds: there is no 'plugn'; {choices}"):
        check_rules(EnsembleSettings(thresholds="plugn"))
