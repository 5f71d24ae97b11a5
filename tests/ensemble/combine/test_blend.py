"""Blend: means of probabilities, and weights that go to the better member."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble import ensemble_file as keep
from hpa_hier.ensemble.combine.aggregate import MemberLogits
from hpa_hier.ensemble.combine.blend import blend, blend_weights
from hpa_hier.ensemble.fit import fit
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

SETTINGS = EnsembleSettings(aggregate="blend", calibrate="none", folds=0, bootstrap=0)


def case(seed: int = 0, members: int = 3) -> tuple[MemberLogits, Targets]:
    """Draw targets from true probabilities, and members whose logits err by 0.2, 1, 2, …"""
    rng = np.random.default_rng(seed)
    true = rng.normal(-1.5, 1.5, (400, 6))
    present = rng.random(true.shape) < expit(true)
    values = np.stack([true + rng.normal(0, e or 0.2, true.shape) for e in range(members)])
    return answer(values, np.ones((members, 6), bool)), Targets(present, np.ones_like(present))


def answer(values: np.ndarray, covers: np.ndarray) -> MemberLogits:
    return MemberLogits(values, covers, np.ones(values.shape[:2], bool))


def loss(logits: MemberLogits, targets: Targets, weights: np.ndarray) -> float:
    probs = np.clip(blend(logits.values, weights), 1e-9, 1 - 1e-9)
    return float(-np.where(targets.present, np.log(probs), np.log1p(-probs)).mean())


def test_the_better_member_gets_most_of_the_weight() -> None:
    weights = blend_weights(*case())
    assert weights.sum(axis=0) == pytest.approx(np.ones(6))
    assert weights[0, 0] > 0.9


def test_no_other_weights_have_a_smaller_log_loss() -> None:
    logits, targets = case(members=2)
    found = loss(logits, targets, blend_weights(logits, targets))
    for other in np.linspace(0, 1, 21):
        assert found <= loss(logits, targets, np.array([[other] * 6, [1 - other] * 6])) + 1e-5


def test_copies_of_one_member_share_alike_and_change_nothing() -> None:
    logits, targets = case(members=1)
    twice = answer(np.repeat(logits.values, 2, axis=0), np.ones((2, 6), bool))
    np.testing.assert_allclose(blend_weights(twice, targets), 0.5)
    np.testing.assert_allclose(blend(twice.values, blend_weights(twice, targets)), expit(logits.values[0]))


def test_a_node_with_one_member_gets_that_members_probability() -> None:
    logits, targets = case(members=2)
    covers = np.array([[True] * 6, [False] + [True] * 5])
    weights = blend_weights(answer(logits.values, covers), targets)
    assert list(weights[:, 0]) == [1, 0]
    np.testing.assert_array_equal(blend(logits.values, weights)[:, 0], expit(logits.values[0, :, 0]))


def test_what_is_not_known_counts_nothing() -> None:
    logits, targets = case()
    wrong = targets.present.copy()
    wrong[:100] = ~wrong[:100]
    known = np.ones_like(wrong)
    known[:100] = False
    masked = blend_weights(logits, Targets(wrong, known))
    np.testing.assert_allclose(masked, blend_weights(logits, Targets(targets.present, known)))


def test_a_fitted_blend_answers_the_mean_of_probabilities_and_is_kept(tmp_path: Path) -> None:
    taxonomy = Taxonomy.from_text("taxonomy: t\nlevels: {leaf: leaves}\ntree:\n  Top: {a: {label: 0}, b: {label: 1}}\n")
    probs = np.array([[0.9, 0.8, 0.2], [0.2, 0.1, 0.05]])
    truth = Truth(("x", "y"), np.array([[1, 1, 0], [0, 0, 0]], bool), np.ones((2, 3), bool))
    members = [Scores(name, truth.ids, taxonomy.nodes, logit(probs)) for name in ("one", "two")]
    ensemble = fit(members, truth, taxonomy, SETTINGS)
    other = [members[0], Scores("two", truth.ids, taxonomy.nodes, logit(probs / 2))]
    np.testing.assert_allclose(ensemble.predict(other).raw, probs * 0.75)
    keep.save(ensemble, tmp_path)
    np.testing.assert_array_equal(keep.load(tmp_path).predict(other).raw, ensemble.predict(other).raw)
