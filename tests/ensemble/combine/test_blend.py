"""Blend: means of probabilities, and weights that go to the better member."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit

from hpa_hier.ensemble import ensemble_file as keep
from hpa_hier.ensemble.combine.blend import blend, blend_weights
from hpa_hier.ensemble.combine.stack import Lesson
from hpa_hier.ensemble.fit import fit
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

SETTINGS = EnsembleSettings(aggregate="blend", calibrate="none", folds=0, bootstrap=0)


def lesson(seed: int = 0, members: int = 3) -> Lesson:
    """Draw targets from true probabilities, and members whose logits err by 0.2, 1, 2, …"""
    rng = np.random.default_rng(seed)
    true = rng.normal(-1.5, 1.5, (400, 6))
    present = rng.random(true.shape) < expit(true)
    logits = np.stack([true + rng.normal(0, e or 0.2, true.shape) for e in range(members)])
    everything = np.ones((members, 6), bool)
    return Lesson(logits, everything, present, np.ones_like(present))


def loss(given: Lesson, weights: np.ndarray) -> float:
    probs = np.clip(blend(list(given.logits), weights), 1e-9, 1 - 1e-9)
    return float(-np.where(given.present, np.log(probs), np.log1p(-probs)).mean())


def test_the_better_member_gets_most_of_the_weight() -> None:
    weights = blend_weights(lesson())
    assert weights.sum(axis=0) == pytest.approx(np.ones(6))
    assert weights[0, 0] > 0.9


def test_no_other_weights_have_a_smaller_log_loss() -> None:
    given = lesson(members=2)
    found = blend_weights(given)
    for other in np.linspace(0, 1, 21):
        assert loss(given, found) <= loss(given, np.array([[other] * 6, [1 - other] * 6])) + 1e-5


def test_copies_of_one_member_share_alike_and_change_nothing() -> None:
    given = lesson(members=1)
    twice = Lesson(np.repeat(given.logits, 2, axis=0), np.ones((2, 6), bool), given.present, given.known)
    np.testing.assert_allclose(blend_weights(twice), 0.5)
    np.testing.assert_allclose(blend(list(twice.logits), blend_weights(twice)), expit(given.logits[0]))


def test_a_node_with_one_member_gets_that_members_probability() -> None:
    given = lesson(members=2)
    covers = np.array([[True] * 6, [False] + [True] * 5])
    weights = blend_weights(Lesson(given.logits, covers, given.present, given.known))
    assert list(weights[:, 0]) == [1, 0]
    np.testing.assert_array_equal(blend(list(given.logits), weights)[:, 0], expit(given.logits[0, :, 0]))


def test_what_is_not_known_counts_nothing() -> None:
    given = lesson()
    wrong = given.present.copy()
    wrong[:100] = ~wrong[:100]
    known = np.ones_like(wrong)
    known[:100] = False
    masked = blend_weights(Lesson(given.logits, given.covers, wrong, known))
    np.testing.assert_allclose(masked, blend_weights(Lesson(given.logits, given.covers, given.present, known)))


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
