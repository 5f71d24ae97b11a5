"""Which samples estimators learn from, and how their answers become logits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax

from hpa_hier.members.estimators.create import create_estimator
from hpa_hier.members.estimators.fitted import Lesson, count_votes, fit_nodes, log_odds, smoothed_logits

GENERATOR = np.random.default_rng(0)
VALUES = GENERATOR.standard_normal((90, 4)).astype(np.float32)
PRESENT = VALUES[:, :3] + 0.5 * GENERATOR.standard_normal((90, 3)) > 0.5
KNOWN = np.ones_like(PRESENT)
ONCE = np.ones(90, np.int64)
SEVERAL, SINGLE = ("extra_trees", {"n_estimators": 5}), ("logistic_regression", {})


@pytest.mark.parametrize(("name", "parameters"), [SEVERAL, SINGLE])
def test_unknown_entries_teach_nothing(name: str, parameters: dict[str, object]) -> None:
    known = KNOWN.copy()
    known[::3, 1] = False
    answers = []
    for there in (True, False):  # what is said where it is not known
        present = PRESENT.copy()
        present[::3, 1] = there
        estimator = create_estimator(name, parameters, 0, "a")
        fitted = fit_nodes(estimator, Lesson(VALUES, present, known, ONCE), seed=0)
        assert {fit.samples: fit.columns for fit in fitted.fits}[60] == (1,)
        answers.append(fitted.logits(VALUES))
    np.testing.assert_array_equal(answers[0], answers[1])


def test_trees_are_fitted_together_where_the_same_samples_are_known() -> None:
    estimator = create_estimator(*SEVERAL, 0, "a")
    together = fit_nodes(estimator, Lesson(VALUES, PRESENT, KNOWN, ONCE), seed=0)
    assert [fit.columns for fit in together.fits] == [(0, 1, 2)]
    estimator.fit(VALUES, PRESENT.astype(int))
    expected = np.stack([probs[:, 1] for probs in estimator.predict_proba(VALUES)], axis=1)
    votes = 5 * expit(together.logits(VALUES).astype(np.float64)) * 6 / 5 - PRESENT.mean(axis=0)  # undone by hand
    np.testing.assert_allclose(votes / 5, expected, atol=1e-5)


@pytest.mark.parametrize(("name", "parameters"), [SEVERAL, SINGLE])
def test_one_sided_nodes_have_the_log_odds_of_their_share(name: str, parameters: dict[str, object]) -> None:
    present, known = PRESENT.copy(), KNOWN.copy()
    present[:, 0], present[:, 1], known[:, 2] = True, False, False
    fitted = fit_nodes(create_estimator(name, parameters, 0, "a"), Lesson(VALUES, present, known, ONCE), seed=0)
    assert fitted.fits == ()
    np.testing.assert_allclose(fitted.logits(VALUES[:2]), np.log([[91, 1 / 91, 1]] * 2), rtol=1e-6)


def test_weights_count_as_copies_do() -> None:
    factors = np.where(PRESENT[:, 0], 3, 1)
    weighted = fit_nodes(create_estimator("svm", {}, 0, "a"), Lesson(VALUES, PRESENT, KNOWN, factors), seed=0)
    rows = np.repeat(np.arange(90), factors)
    lesson = Lesson(VALUES[rows], PRESENT[rows], KNOWN[rows], np.ones(len(rows), np.int64))
    copied = fit_nodes(create_estimator("svm", {"gamma": 1 / (4 * VALUES.var())}, 0, "a"), lesson, seed=0)
    weighted_again = fit_nodes(
        create_estimator("svm", {"gamma": 1 / (4 * VALUES.var())}, 0, "a"), Lesson(VALUES, PRESENT, KNOWN, factors), 0
    )
    np.testing.assert_allclose(weighted_again.logits(VALUES), copied.logits(VALUES), atol=2e-2)
    assert weighted.fits[0].shares[0] > PRESENT[:, 0].mean()


def test_neighbours_that_take_no_weights_are_copied() -> None:
    factors = np.where(PRESENT[:, 0], 2, 1)
    fitted = fit_nodes(
        create_estimator("nearest_neighbours", {}, 0, "a"), Lesson(VALUES, PRESENT, KNOWN, factors), seed=0
    )
    assert fitted.fits[0].samples == factors.sum()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [*[(name, {}) for name in ("nearest_neighbours", "hist_gradient_boosting", "svm")], SEVERAL, SINGLE],
)
def test_a_sample_is_scored_alike_alone_and_among_others(name: str, parameters: dict[str, object]) -> None:
    fitted = fit_nodes(create_estimator(name, parameters, 0, "a"), Lesson(VALUES, PRESENT, KNOWN, ONCE), seed=0)
    many = np.random.default_rng(1).standard_normal((300, 4)).astype(np.float32)
    whole = fitted.logits(many)
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(whole[[7]], fitted.logits(many[[7]]))
    np.testing.assert_array_equal(whole[250:], fitted.logits(many[250:]))


def test_smoothing_keeps_the_order_and_the_share() -> None:
    shares = np.array([0.01, 0.5])
    probs = np.linspace(0, 1, 11)[:, None] * np.ones(2)
    logits = smoothed_logits(probs, shares, 10)
    assert (np.diff(logits, axis=0) > 0).all()
    np.testing.assert_allclose(expit(smoothed_logits(shares[None], shares, 10))[0], shares)


def test_votes_are_trees_or_neighbours_or_samples() -> None:
    made = {name: create_estimator(name, {}, 0, "a") for name in ("extra_trees", "nearest_neighbours", "svm")}
    assert [count_votes(one, 60) for one in made.values()] == [60, 5, 60]
    assert count_votes(made["extra_trees"], 1000) == 100


@pytest.mark.parametrize(("name", "parameters"), [SEVERAL, SINGLE, ("svm", {"C": 10.0})])
@pytest.mark.parametrize("least", [-9.0, 0.0])  # all samples show a node; half show none
def test_exclusive_nodes_are_the_classes_of_one_fit(name: str, parameters: dict[str, object], least: float) -> None:
    best = VALUES[:, :3].argmax(axis=1)
    present = (best[:, None] == np.arange(3)) & (VALUES[:, 3] > least)[:, None]
    known = KNOWN.copy()
    known[:5, 1] = False
    estimator = create_estimator(name, parameters, 0, "a")
    fitted = fit_nodes(estimator, Lesson(VALUES, present, known, ONCE, one_of=True), seed=0)
    assert [(fit.columns, fit.samples) for fit in fitted.fits] == [((0, 1, 2), 85)]
    kinds = np.where(present.any(axis=1), best, 3)[5:]
    expected = estimator.fit(VALUES[5:], kinds).predict(VALUES)
    logits = fitted.logits(VALUES)
    assert (logits.argmax(axis=1) == expected)[expected < 3].mean() > 0.95  # votes of pairs are broken by margins
    total = expit(logits.astype(np.float64)).sum(axis=1)
    assert (np.abs(total - 1) < 1e-5).all() or (least == 0 and (total < 1).all())


def test_log_odds_are_those_of_the_softmax() -> None:
    scores = GENERATOR.standard_normal((20, 5)) * 3
    probs = softmax(scores, axis=1)
    np.testing.assert_allclose(log_odds(scores), np.log(probs / (1 - probs)), rtol=1e-9)


@pytest.mark.parametrize("one_of", [False, True])
@pytest.mark.parametrize("columns", [1, 3])
def test_an_estimator_of_labels_alone_is_fitted_to_labels(one_of: bool, columns: int) -> None:
    present = VALUES[:, :3].argmax(axis=1)[:, None] == np.arange(columns)
    estimator = create_estimator("label_trees", {"n_estimators": 5, "min_samples_leaf": 2}, 0, "a")
    fitted = fit_nodes(estimator, Lesson(VALUES, present, np.ones_like(present), ONCE, one_of), seed=0)
    assert [(fit.columns, fit.one_of) for fit in fitted.fits] == [(tuple(range(columns)), False)]
    logits = fitted.logits(VALUES)
    assert all(logits[present[:, j], j].mean() > logits[~present[:, j], j].mean() + 1 for j in range(columns))
