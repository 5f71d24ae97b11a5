"""Thresholds against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from ensemble_cases import SEEDS
from hypothesis import given, settings
from sklearn.metrics import f1_score as sklearn_f1

from hpa_hier.ensemble.decide.by_hand import set_by_hand
from hpa_hier.ensemble.decide.threshold_rules import f1_thresholds, global_threshold, prevalence_thresholds
from hpa_hier.ensemble.decide.thresholds import ThresholdPlan, fit_thresholds
from hpa_hier.errors import UserError
from hpa_hier.metrics.ranking import Ranked

often = settings(max_examples=200, deadline=None)


@often
@given(SEEDS)
def test_the_f1_threshold_is_the_best_of_all_thresholds(seed):
    probs, present, known = drawn(seed)
    ranked = Ranked.of(probs, present, known)
    values = f1_thresholds(ranked)
    for node in range(probs.shape[1]):
        p, y = probs[known[:, node], node], present[known[:, node], node]
        if y.any():
            best = max(f1_score(y, p >= t) for t in [*np.unique(p)])
            assert f1_score(y, p >= values[node]) == pytest.approx(best, abs=1e-12)


@often
@given(SEEDS)
def test_the_global_threshold_is_the_best_of_all_thresholds(seed):
    probs, present, known = drawn(seed)
    nodes = list(range(probs.shape[1]))
    counted = [node for node in nodes if (present & known)[:, node].any()]
    if not counted:
        return

    def macro(t: float) -> float:
        return float(np.mean([f1_score(present[known[:, j], j], probs[known[:, j], j] >= t) for j in counted]))

    found = global_threshold(Ranked.of(probs, present, known), nodes)
    assert macro(found) == pytest.approx(max(macro(t) for t in np.unique(probs[:, counted])), abs=1e-12)


@often
@given(SEEDS)
def test_the_prevalence_threshold_calls_as_many_present_as_carry_the_node(seed):
    probs, present, known = drawn(seed)
    ranked = Ranked.of(probs, present, known)
    values = prevalence_thresholds(ranked)
    for node in range(probs.shape[1]):
        p, y = probs[known[:, node], node], present[known[:, node], node]
        reachable = [int((p >= t).sum()) for t in [*np.unique(probs[:, node]), 2.0]]
        off = abs(int((p >= values[node]).sum()) - int(y.sum()))
        assert off == min(abs(number - int(y.sum())) for number in reachable)


def test_a_threshold_lies_half_way_between_the_samples_it_parts():
    ranked = rank_one([0.9, 0.8, 0.4, 0.2], [1, 1, 0, 0])
    assert f1_thresholds(ranked)[0] == pytest.approx(0.6)


def test_a_threshold_never_parts_equal_probabilities():
    ranked = rank_one([0.9, 0.5, 0.5, 0.5, 0.1], [1, 1, 0, 0, 0])
    assert f1_thresholds(ranked)[0] not in (0.5, 0.9)


def test_neighbours_in_floating_point_are_parted():
    upper = 0.5
    lower = np.nextafter(upper, 0)
    ranked = rank_one([upper, lower], [1, 0])
    assert f1_thresholds(ranked)[0] == upper


def test_a_small_class_gets_the_prevalence_threshold():
    probs, present, known = drawn(3, size=200)
    fitted = fit_thresholds(("a", "b"), probs[:, :2], (present[:, :2], known[:, :2]), [0, 1], ThresholdPlan("f1"))
    assert fitted.rules == tuple("prevalence" if n < 20 else "f1" for n in fitted.positives)
    all_small = fit_thresholds(
        ("a", "b"), probs[:, :2], (present[:, :2], known[:, :2]), [0, 1], ThresholdPlan("f1", small_class=1000)
    )
    assert all_small.rules == ("prevalence", "prevalence")


def test_a_class_never_seen_needs_more_than_the_largest_probability_seen():
    probs = np.array([[0.1], [0.6]])
    nothing, known = np.zeros((2, 1), bool), np.ones((2, 1), bool)
    for rule in ("f1", "prevalence"):
        fitted = fit_thresholds(("a",), probs, (nothing, known), [0], ThresholdPlan(rule, small_class=0))
        assert fitted.values[0] == pytest.approx(0.8)
        assert fitted.rules == ("prevalence",)


@pytest.mark.parametrize("rule", ["f1", "prevalence", "global", "fixed"])
def test_an_interval_is_seeded_and_holds_its_threshold_more_often_than_not(rule):
    rng = np.random.default_rng(0)
    probs = rng.random((400, 5))
    present, known = rng.random((400, 5)) < probs**2, np.ones((400, 5), bool)
    plan = ThresholdPlan(rule, fixed=0.3, bootstrap=60, seed=4)
    fitted = fit_thresholds(tuple("abcde"), probs, (present, known), range(5), plan)
    again = fit_thresholds(tuple("abcde"), probs, (present, known), range(5), plan)
    assert (fitted.low == again.low).all()
    assert (fitted.low <= fitted.high).all()
    assert ((fitted.low <= fitted.values) & (fitted.values <= fitted.high)).mean() > 0.5
    if rule == "fixed":
        assert (fitted.low == 0.3).all()


def test_the_bootstrap_of_a_threshold_is_a_fit_on_the_resample():
    rng = np.random.default_rng(1)
    probs = rng.random((50, 1))
    present, known = rng.random((50, 1)) < probs, np.ones((50, 1), bool)
    plan = ThresholdPlan("f1", small_class=0, bootstrap=1, seed=9)
    fitted = fit_thresholds(("a",), probs, (present, known), [0], plan)
    rows = np.random.default_rng(9).integers(50, size=50)
    alone = fit_thresholds(
        ("a",), probs[rows], (present[rows], known[rows]), [0], ThresholdPlan("f1", small_class=0, bootstrap=0)
    )
    y, p = present[rows, 0], probs[rows, 0]
    assert f1_score(y, p >= fitted.low[0]) == pytest.approx(f1_score(y, p >= alone.values[0]))


def f1_score(present: np.ndarray, called: np.ndarray) -> float:
    return 2 * float((present & called).sum()) / max(float(present.sum() + called.sum()), 1.0)


def test_the_reference_of_these_tests_is_scikit_learns():
    probs, present, _ = drawn(0)
    for node in range(probs.shape[1]):
        assert f1_score(present[:, node], probs[:, node] >= 0.5) == pytest.approx(
            sklearn_f1(present[:, node], probs[:, node] >= 0.5)
        )


def drawn(seed: int, size: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities with many ties, targets, and some unknown answers; (size, 4) each."""
    rng = np.random.default_rng(seed)
    probs = rng.random((size, 4)).round(int(rng.integers(1, 4)))
    return probs, rng.random((size, 4)) < rng.random(4), rng.random((size, 4)) > 0.1


def rank_one(probs: list[float], present: list[int]) -> Ranked:
    column = np.array(probs)[:, None]
    return Ranked.of(column, np.array(present, bool)[:, None], np.ones_like(column, bool))


def test_a_threshold_by_hand_takes_the_place_of_a_fitted_one_and_leaves_the_others():
    probs, present, known = drawn(3)
    nodes = tuple(f"node{j}" for j in range(probs.shape[1]))
    fitted = fit_thresholds(nodes, probs, (present, known), list(range(len(nodes))), ThresholdPlan("f1", bootstrap=20))
    mine = set_by_hand(fitted, {"node1": 0.35})
    assert mine.values[1] == 0.35
    assert mine.rules[1] == "hand"
    assert np.isnan([mine.low[1], mine.high[1]]).all()
    others = [j for j in range(len(nodes)) if j != 1]
    np.testing.assert_array_equal(mine.values[others], fitted.values[others])
    assert [mine.rules[j] for j in others] == [fitted.rules[j] for j in others]


def test_a_threshold_by_hand_for_no_node_is_refused():
    probs, present, known = drawn(3)
    nodes = tuple(f"node{j}" for j in range(probs.shape[1]))
    fitted = fit_thresholds(nodes, probs, (present, known), list(range(len(nodes))), ThresholdPlan("fixed"))
    with pytest.raises(UserError, match="hand_thresholds: no node is called 'nodee1'; did you mean 'node1'"):
        set_by_hand(fitted, {"nodee1": 0.35})
