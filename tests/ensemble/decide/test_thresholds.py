"""Thresholds against brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ensemble_cases import SEEDS
from hypothesis import given, settings
from sklearn.metrics import f1_score as sklearn_f1

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.decide.rule import Resamples, ThresholdOptions
from hpa_hier.ensemble.decide.threshold_rules import (
    THRESHOLDS,
    f1_thresholds,
    plugin_thresholds,
    prevalence_thresholds,
)
from hpa_hier.ensemble.decide.thresholds import Thresholds, fit_thresholds
from hpa_hier.errors import UserError
from hpa_hier.metrics.ranking import Ranked

often = settings(max_examples=200)


def choose(rule: str, probs: np.ndarray, present: np.ndarray, known: np.ndarray, **options: float) -> Thresholds:
    """Fit thresholds of nodes a, b, …, all of them leaves."""
    nodes = tuple("abcdefgh"[: probs.shape[1]])
    chosen = ThresholdOptions(**options)  # type: ignore[arg-type]
    return fit_thresholds(THRESHOLDS[rule], nodes, probs, Targets(present, known), chosen)


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


def test_a_node_of_which_nothing_is_known_has_a_plugin_threshold_that_no_probability_of_0_reaches() -> None:
    probs, present = np.array([[0.9, 0.0], [0.2, 0.0]]), np.zeros((2, 2), bool)
    for resamples in (0, 5):
        found = choose("plugin", probs, present, present, resamples=resamples)
        assert (found.values > 0).all()
        assert (found.values < 2).all()


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


def test_classes_that_do_not_occur_do_not_lower_the_thresholds_of_those_that_are_told_apart():
    rng = np.random.default_rng(0)
    present = np.zeros((40, 8), bool)
    present[np.arange(40), rng.integers(0, 2, 40)] = True  # two of eight classes occur, each sample has one
    probs = np.where(present, 1 - 1e-6, 1e-6)
    probs[:, 2:] = 1e-12 * rng.random((40, 6))
    found = choose("plugin", probs, present, np.ones_like(present), level=(0,) * 8)
    assert (found.values[:2] > 0.4).all()
    assert ((probs >= found.values)[:, :2] == present[:, :2]).all()


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
    fitted = choose("f1", probs[:, :2], present[:, :2], known[:, :2])
    assert fitted.rules == tuple("prevalence" if n < 20 else "f1" for n in fitted.positives)
    all_small = choose("f1", probs[:, :2], present[:, :2], known[:, :2], small_class=1000)
    assert all_small.rules == ("prevalence", "prevalence")


def test_a_class_never_seen_needs_more_than_the_largest_probability_seen():
    probs = np.array([[0.1], [0.6]])
    nothing, known = np.zeros((2, 1), bool), np.ones((2, 1), bool)
    fitted = choose("f1", probs, nothing, known, small_class=0)
    assert fitted.values[0] == pytest.approx(0.8)
    assert fitted.rules == ("prevalence",)


@pytest.mark.parametrize("rule", ["f1", "plugin", "bagged", "fixed"])
def test_an_interval_is_seeded_and_holds_its_threshold_more_often_than_not(rule):
    rng = np.random.default_rng(0)
    probs = rng.random((400, 5))
    present, known = rng.random((400, 5)) < probs**2, np.ones((400, 5), bool)
    fitted, again = (choose(rule, probs, present, known, fixed=0.3, resamples=60, seed=4) for _ in range(2))
    assert (fitted.low == again.low).all()
    assert (fitted.low <= fitted.high).all()
    assert ((fitted.low <= fitted.values) & (fitted.values <= fitted.high)).mean() > 0.5
    if rule == "fixed":
        assert (fitted.low == 0.3).all()


def test_the_bootstrap_of_a_threshold_is_a_fit_on_the_resample():
    rng = np.random.default_rng(1)
    probs = rng.random((50, 1))
    present, known = rng.random((50, 1)) < probs, np.ones((50, 1), bool)
    fitted = choose("f1", probs, present, known, small_class=0, resamples=1, seed=9)
    rows = np.random.default_rng(9).integers(50, size=50)
    alone = choose("f1", probs[rows], present[rows], known[rows], small_class=0, resamples=0)
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
    fitted = choose("f1", probs, present, known, resamples=20)
    mine = fitted.set_by_hand({"b": 0.35})
    assert mine.values[1] == 0.35
    assert mine.rules[1] == "hand"
    assert np.isnan([mine.low[1], mine.high[1]]).all()
    others = [0, 2, 3]
    np.testing.assert_array_equal(mine.values[others], fitted.values[others])
    assert [mine.rules[j] for j in others] == [fitted.rules[j] for j in others]


def test_a_threshold_by_hand_for_no_node_is_refused():
    fitted = replace(choose("fixed", *drawn(3)), nodes=("node0", "node1", "node2", "node3"))
    with pytest.raises(UserError, match="hand_thresholds: no node is called 'nodee1'; did you mean 'node1'"):
        fitted.set_by_hand({"nodee1": 0.35})


@pytest.mark.parametrize("seed", range(5))
def test_the_plugin_threshold_asks_known_samples_only_and_counts_one_as_often_as_its_weight(seed):
    rng = np.random.default_rng(seed)
    probs = rng.random((60, 3))
    present, known = rng.random((60, 3)) < probs, rng.random((60, 3)) < 0.8
    found = plugin_thresholds(Ranked.of(probs, present, known))
    often = rng.integers(0, 3, 60)
    weighted = plugin_thresholds(
        Ranked.of(probs, present, known, ordered=True), np.stack([np.ones(60), often]).astype(np.float32)
    )
    for node in range(3):
        for rows, value in ((known[:, node], found[node]), (known[:, node], weighted[0, node])):
            assert value == pytest.approx(half_best_expected_f1(probs[rows, node], present[rows, node]), rel=1e-6)
        rows = np.repeat(np.arange(60), often)
        rows = rows[known[rows, node]]
        expected = half_best_expected_f1(probs[rows, node], present[rows, node])
        assert weighted[1, node] == pytest.approx(expected, rel=1e-6)


def half_best_expected_f1(probs: np.ndarray, present: np.ndarray) -> float:
    """Half the best of 2 Σp / (k + Σp) over the k likeliest samples, and no lower than calls twice the positives."""
    p = np.sort(probs)[::-1]
    half = max(p[:k].sum() / (k + p.sum()) for k in range(1, len(p) + 1))
    most = 2 * max(p.sum(), present.sum())
    ends = [k for k in range(1, len(p) + 1) if k == len(p) or p[k] < p[k - 1]]
    last = max(k for k in ends if k <= max(most, 1))
    return max(half, (p[last - 1] + p[last]) / 2 if last < len(p) else 0.0)


def test_a_bagged_threshold_of_many_positives_goes_to_where_the_classes_part():
    probs = np.repeat([[0.9], [0.1]], 300, axis=0)
    present = probs > 0.5
    values = {rule: choose(rule, probs, present, np.ones_like(present)).values[0] for rule in ("plugin", "bagged")}
    assert values["bagged"] - values["plugin"] == pytest.approx(300 / 400 * (0.5 - values["plugin"]))  # 0.5 parts them


def test_resamples_of_whole_units_choose_a_bagged_threshold_and_nothing_is_drawn_again():
    rng = np.random.default_rng(0)
    probs = rng.random((200, 1))
    present = rng.random((200, 1)) < probs
    options = ThresholdOptions(resamples=6)
    choice = THRESHOLDS["bagged"].fit(Ranked.of(probs, present, np.ones_like(present)), options)
    alike = np.ones((6, 200), np.float32)
    whole, alone = (
        THRESHOLDS["bagged"].refit(
            Resamples(probs, Targets(present, np.ones_like(present)), alike, one), choice, options
        )
        for one in (True, False)
    )
    assert len(np.unique(whole)) == 1
    assert len(np.unique(alone)) > 1


def test_a_level_without_positives_has_a_mean_of_its_own():
    rng = np.random.default_rng(0)
    probs, present = rng.random((40, 3)) * [0.5, 0.01, 0.01], np.zeros((40, 3), bool)
    present[:20, 0] = True
    own = plugin_thresholds(Ranked.of(probs, present, np.ones_like(present)))
    found = choose("plugin", probs, present, np.ones_like(present), level=(0, 1, 1))
    share = 40 / 140
    assert found.values[0] == pytest.approx(own[0])
    np.testing.assert_allclose(found.values[1:], own[1:] ** share * np.sqrt(own[1] * own[2]) ** (1 - share))


def test_thresholds_are_moved_with_the_probabilities_but_not_those_asked_of_probabilities_as_such():
    probs, present, known = drawn(3, size=200)
    fitted = choose("f1", probs, present, known, small_class=0).set_by_hand({"b": 0.4})
    fitted = fitted.raise_where_unfounded(np.array([True, True, False, True])).never_call(np.arange(4) == 3)
    assert fitted.rules == ("f1", "hand", "half", "never")
    assert fitted.doubtful.tolist() == [False, False, True, False]
    assert fitted.never.tolist() == [False, False, False, True]
    moved = fitted.move(np.full(4, np.log(3)))
    odds = 3 * fitted.values[0] / (1 - fitted.values[0])
    assert moved.values[0] == pytest.approx(odds / (1 + odds))
    assert moved.values[1:].tolist() == fitted.values[1:].tolist()
    assert not fitted.apply(np.ones((1, 4)))[0, 3]


def test_a_node_without_positives_is_never_called_only_where_none_was_learned_from():
    probs, present, known = drawn(3)
    present[:, 0] = present[:, 1] = False
    fitted = choose("f1", probs, present, known)
    told = np.ones(4, bool)
    assert fitted.raise_where_unfounded(told).rules == fitted.rules
    learned = np.array([False, True, False, True])
    assert fitted.raise_where_unfounded(told, learned).rules == ("never", *fitted.rules[1:])
    fixed = choose("fixed", probs, present, known, fixed=0.3)
    assert fixed.raise_where_unfounded(~told).values.tolist() == [0.3] * 4


def test_a_threshold_that_is_raised_or_never_reached_has_no_interval_and_the_others_keep_theirs():
    probs, present, known = drawn(3, size=60)
    present[:, 0] = False
    fitted = choose("f1", probs, present, known, resamples=20)
    raised = fitted.raise_where_unfounded(np.array([True, True, False, True]), np.array([False, True, True, True]))
    assert raised.rules == ("never", fitted.rules[1], "half", fitted.rules[3])
    for bound in ("low", "high"):
        assert np.isnan(getattr(raised, bound)).tolist() == [True, False, True, False]
        assert getattr(raised, bound)[[1, 3]].tolist() == getattr(fitted, bound)[[1, 3]].tolist()


def test_thresholds_are_kept_with_their_intervals():
    fitted = choose("f1", *drawn(3), resamples=20).set_by_hand({"b": 0.35})
    again = Thresholds.from_json(fitted.to_json())
    assert (again.nodes, again.rules) == (fitted.nodes, fitted.rules)
    for name in ("values", "low", "high", "positives"):
        np.testing.assert_array_equal(getattr(again, name), getattr(fitted, name))
