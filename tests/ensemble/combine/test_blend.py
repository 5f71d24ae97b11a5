"""Blend: means of probabilities, and weights that go to the better member."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble import ensemble_file as keep
from hpa_hier.ensemble.combine.aggregate import MemberLogits
from hpa_hier.ensemble.combine.blend import blend, blend_weights, selection_weights
from hpa_hier.ensemble.combine.reconcile import lift
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


@pytest.mark.parametrize("errors", [(0.2, 1.0), (1.2, 1.3)])
def test_no_other_weights_have_a_smaller_log_loss(errors: tuple[float, float]) -> None:
    rng = np.random.default_rng(5)
    true = rng.normal(-1.5, 1.5, (400, 6))
    present = rng.random(true.shape) < expit(true)
    values = np.stack([true + rng.normal(0, error, true.shape) for error in errors])
    logits, targets = answer(values, np.ones((2, 6), bool)), Targets(present, np.ones_like(present))
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


ORDER = ((0, (1, 2)), (3, (4,)))  # of the six nodes of `case`


def area(logits: MemberLogits, targets: Targets, weights: np.ndarray) -> float:
    probs = lift(blend(logits.values, weights), ORDER)
    return float(average_precision_score(targets.present.ravel(), probs.ravel()))


def test_selected_members_rank_at_least_as_well_as_each_alone_and_as_all_alike() -> None:
    logits, targets = case(members=4)
    weights = selection_weights(logits, targets, ORDER)
    assert weights.sum(axis=0) == pytest.approx(np.ones(6))
    found = area(logits, targets, weights)
    for other in (*np.eye(4), np.full(4, 0.25)):
        assert found >= area(logits, targets, np.tile(other[:, None], 6)) - 1e-3  # ranks are counted in steps


def test_a_member_that_only_guesses_is_not_selected() -> None:
    logits, targets = case(members=2)
    guess = np.random.default_rng(1).normal(-1.5, 3, logits.values[0].shape)
    three = answer(np.stack([*logits.values, guess]), np.ones((3, 6), bool))
    assert not selection_weights(three, targets, ORDER)[2].any()


def test_two_members_with_different_errors_are_both_selected() -> None:
    rng = np.random.default_rng(2)
    _, targets = case()
    true = np.where(targets.present, 1.0, -1.0)
    alike = answer(np.stack([true + rng.normal(0, 1.5, true.shape) for _ in range(2)]), np.ones((2, 6), bool))
    assert selection_weights(alike, targets, ORDER)[:, 0] == pytest.approx(0.5, abs=0.11)


def test_the_order_of_members_does_not_matter_to_a_selection() -> None:
    logits, targets = case(members=4)
    other = [2, 0, 3, 1]
    turned = answer(logits.values[other], logits.covers[other])
    weights = selection_weights(logits, targets, ORDER)
    np.testing.assert_array_equal(selection_weights(turned, targets, ORDER), weights[other])


def test_a_node_that_no_selected_member_answers_for_has_the_mean_of_the_others() -> None:
    logits, targets = case(members=3)
    covers = np.ones((3, 6), bool)
    covers[:2, 5] = False
    values = np.stack([*logits.values[:2], np.random.default_rng(1).normal(-1.5, 3, (400, 6))])
    weights = selection_weights(answer(values, covers), targets, ORDER)
    assert list(weights[:, 5]) == [0, 0, 1]
    assert weights[2, 0] == 0
    assert weights.sum(axis=0) == pytest.approx(np.ones(6))


def test_entries_that_are_not_known_and_targets_without_a_positive_select_nothing() -> None:
    logits, targets = case()
    wrong, known = targets.present.copy(), np.ones_like(targets.present)
    wrong[:100], known[:100] = ~wrong[:100], False
    masked = selection_weights(logits, Targets(wrong, known), ORDER)
    np.testing.assert_array_equal(masked, selection_weights(logits, Targets(targets.present, known), ORDER))
    nothing = Targets(np.zeros_like(wrong), np.ones_like(wrong))
    np.testing.assert_allclose(selection_weights(logits, nothing, ORDER), 1 / 3)


def test_a_fitted_selection_is_kept(tmp_path: Path) -> None:
    logits, targets = case(members=3)
    text = "taxonomy: t\nlevels: {leaf: leaves}\ntree:\n  Top: {a: {label: 0}, b: {label: 1}}\n"
    taxonomy = Taxonomy.from_text(text)
    ids = tuple(f"s{i}" for i in range(400))
    present = taxonomy.close(np.insert(targets.present[:, :2], 0, False, axis=1))
    truth = Truth(ids, present, np.ones_like(present))
    members = [Scores(f"m{i}", ids, taxonomy.nodes, one[:, :3]) for i, one in enumerate(logits.values)]
    ensemble = fit(members, truth, taxonomy, SETTINGS.model_copy(update={"aggregate": "selection"}))
    keep.save(ensemble, tmp_path)
    np.testing.assert_array_equal(keep.load(tmp_path).predict(members).raw, ensemble.predict(members).raw)
