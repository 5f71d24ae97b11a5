"""Every metric against scikit-learn or plain numpy, as it is and weighted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from hpa_hier.metrics import scores as metrics

EVERYTHING = np.s_[:]


def _case(seed: int, samples: int = 60, nodes: int = 7, ties: bool = False):
    rng = np.random.default_rng(seed)
    targets = rng.random((samples, nodes)) < rng.uniform(0.05, 0.6, nodes)
    targets[0], targets[1] = True, False  # every node has a positive and a negative
    probs = np.clip(0.35 * targets + rng.random((samples, nodes)) * 0.65, 0, 1)
    if ties:
        probs = np.round(probs, 1)
    return targets, probs, probs >= 0.5, np.ones_like(targets)


SEEDS = st.integers(0, 10_000)


@settings(max_examples=25)
@given(SEEDS)
def test_counts_are_those_of_the_multilabel_confusion_matrix(seed):
    targets, _, present, known = _case(seed)
    counts = metrics.count(present, targets, known)
    found = np.stack([[counts.tn, counts.fp], [counts.fn, counts.tp]]).transpose(2, 0, 1)
    np.testing.assert_array_equal(found, reference.multilabel_confusion_matrix(targets, present))


@settings(max_examples=25)
@given(SEEDS)
def test_f1_precision_and_recall_are_scikit_learns(seed):
    targets, _, present, known = _case(seed)
    counts = metrics.count(present, targets, known)
    precision, recall, f1, _ = reference.precision_recall_fscore_support(targets, present, zero_division=np.nan)
    np.testing.assert_allclose(metrics.precision(counts), precision)
    np.testing.assert_allclose(metrics.recall(counts), recall)
    np.testing.assert_allclose(metrics.f1(counts), f1)
    assert metrics.macro_f1(counts) == pytest.approx(reference.f1_score(targets, present, average="macro"))
    assert metrics.micro_f1(counts) == pytest.approx(reference.f1_score(targets, present, average="micro"))
    micro = reference.precision_score(targets, present, average="micro")
    assert metrics.precision(counts.pooled()) == pytest.approx(micro)
    assert metrics.recall(counts.pooled()) == pytest.approx(reference.recall_score(targets, present, average="micro"))


@settings(max_examples=25)
@given(SEEDS)
def test_sample_f1_and_subset_accuracy_are_scikit_learns(seed):
    targets, _, present, known = _case(seed)
    found = metrics.sample_f1(present, targets, known).mean()
    assert found == pytest.approx(reference.f1_score(targets, present, average="samples", zero_division=1.0))
    matches = metrics.exact_match(present, targets, known).mean()
    assert matches == pytest.approx(reference.accuracy_score(targets, present))


@settings(max_examples=25)
@given(SEEDS, st.booleans())
def test_average_precision_is_scikit_learns_also_with_ties(seed, ties):
    targets, probs, _, known = _case(seed, ties=ties)
    expected = [reference.average_precision_score(targets[:, n], probs[:, n]) for n in range(targets.shape[1])]
    np.testing.assert_allclose(metrics.average_precision(probs, targets, known), expected)


@settings(max_examples=10)
@given(SEEDS, st.booleans())
def test_weighted_average_precision_is_scikit_learns_with_sample_weights(seed, ties):
    targets, probs, _, known = _case(seed, ties=ties)
    weights = np.random.default_rng(seed).integers(0, 4, (3, len(targets))).astype(np.float32)
    weights[:, 0] = 1  # a positive of every node stays
    found = metrics.average_precision(probs, targets, known, weights)
    for row, weight in zip(found, weights, strict=True):
        expected = [
            reference.average_precision_score(targets[:, n], probs[:, n], sample_weight=weight)
            for n in range(targets.shape[1])
        ]
        np.testing.assert_allclose(row, expected, rtol=1e-6)


@settings(max_examples=20)
@given(SEEDS)
def test_weights_count_a_sample_as_often_as_repeating_it(seed):
    targets, probs, present, known = _case(seed)
    known = np.random.default_rng(seed).random(targets.shape) < 0.9
    often = np.random.default_rng(seed).integers(0, 3, len(targets))
    again = np.repeat(np.arange(len(targets)), often)
    weights = often[None].astype(np.float32)
    bins, bins_again = (
        metrics.calibration_sums(probs[rows], targets[rows], known[rows]) for rows in (EVERYTHING, again)
    )
    pairs = [
        (metrics.count(present, targets, known, weights), metrics.count(present[again], targets[again], known[again]))
    ]
    for one, other in pairs:
        np.testing.assert_allclose(metrics.f1(one)[0], metrics.f1(other))
        np.testing.assert_allclose(metrics.macro_f1(one)[0], metrics.macro_f1(other))
        np.testing.assert_allclose(metrics.micro_f1(one)[0], metrics.micro_f1(other))
    np.testing.assert_allclose(
        metrics.average_precision(probs, targets, known, weights)[0],
        metrics.average_precision(probs[again], targets[again], known[again]),
        rtol=1e-6,
    )
    np.testing.assert_allclose(metrics.calibration_error(bins, weights)[0], metrics.calibration_error(bins_again))
    np.testing.assert_allclose(
        metrics.brier(probs, targets, known, weights)[0], metrics.brier(probs[again], targets[again], known[again])
    )


def test_what_the_annotation_does_not_tell_is_left_out():
    targets, probs, present, known = _case(3)
    known[:20, 2] = False
    counts = metrics.count(present, targets, known)
    assert metrics.f1(counts)[2] == pytest.approx(reference.f1_score(targets[20:, 2], present[20:, 2]))
    ap = metrics.average_precision(probs, targets, known)
    assert ap[2] == pytest.approx(reference.average_precision_score(targets[20:, 2], probs[20:, 2]))
    wrong = present.copy()
    wrong[:20, 2] = ~targets[:20, 2]
    np.testing.assert_array_equal(
        metrics.exact_match(wrong, targets, known), metrics.exact_match(present, targets, known)
    )


def test_a_class_without_positives_is_left_out_and_not_counted_as_zero():
    targets = np.array([[True, False], [True, False], [False, False]])
    present = np.array([[True, True], [True, False], [False, False]])
    counts = metrics.count(present, targets, np.ones_like(targets))
    assert np.isnan(metrics.f1(counts)[1])
    assert metrics.macro_f1(counts) == 1.0
    assert np.isnan(metrics.average_precision(present.astype(float), targets, np.ones_like(targets))[1])


def test_a_class_with_positives_that_is_never_predicted_counts_as_zero():
    targets, present = np.array([[True, True]]), np.array([[True, False]])
    assert metrics.macro_f1(metrics.count(present, targets, np.ones_like(targets))) == 0.5


def test_micro_f1_of_closed_decisions_is_hierarchical_f1():
    # nodes: group, its two leaves, another group, its leaf; the wrong leaf of the right group earns the group
    targets = np.array([[1, 1, 0, 0, 0], [0, 0, 0, 1, 1]], dtype=bool)
    present = np.array([[1, 0, 1, 0, 0], [1, 1, 0, 1, 1]], dtype=bool)
    counts = metrics.count(present, targets, np.ones_like(targets))
    shared = sum(len(set(np.flatnonzero(a)) & set(np.flatnonzero(b))) for a, b in zip(present, targets, strict=True))
    precision, recall = shared / present.sum(), shared / targets.sum()
    assert metrics.precision(counts.pooled()) == precision == 3 / 6
    assert metrics.recall(counts.pooled()) == recall == 3 / 4
    assert metrics.micro_f1(counts) == pytest.approx(2 * precision * recall / (precision + recall))


def test_calibration_error_is_the_mean_gap_over_entries():
    targets, probs, _, known = _case(5, samples=300)
    bins = np.minimum((probs.ravel() * 15).astype(int), 14)
    gaps = [
        np.abs(probs.ravel()[bins == k].mean() - targets.ravel()[bins == k].mean()) * (bins == k).mean()
        for k in range(15)
        if (bins == k).any()
    ]
    found = metrics.calibration_error(metrics.calibration_sums(probs, targets, known))
    assert found == pytest.approx(sum(gaps))


def test_probabilities_that_come_true_as_often_as_they_say_have_no_calibration_error():
    probs = np.repeat([[0.25], [0.75]], 400, axis=0)
    targets = np.tile([[True], [False], [False], [False]], (200, 1))
    targets[400:] = ~targets[400:]
    sums = metrics.calibration_sums(probs, targets, np.ones_like(targets))
    assert metrics.calibration_error(sums) == pytest.approx(0)


def test_a_probability_of_one_falls_into_the_last_bin():
    one = np.ones((1, 1))
    sums = metrics.calibration_sums(one, one.astype(bool), one.astype(bool), bins=4)
    np.testing.assert_array_equal(sums.entries, [[0, 0, 0, 1]])


def test_brier_score_is_scikit_learns():
    targets, probs, _, known = _case(6)
    expected = reference.brier_score_loss(targets.ravel(), probs.ravel())
    assert metrics.brier(probs, targets, known) == pytest.approx(expected)


def test_violations_are_counted_on_edges_and_on_samples():
    edges = np.array([[1, 0], [2, 0]])  # children 1 and 2 of node 0
    probs = np.array([[0.5, 0.6, 0.4], [0.5, 0.5, 0.5], [0.1, 0.2, 0.3]])
    np.testing.assert_array_equal(metrics.edge_violations(probs, edges), [0.5, 0.0, 1.0])
    np.testing.assert_array_equal(metrics.incoherent(probs >= 0.6, edges), [True, False, False])


def test_a_taxonomy_without_edges_has_no_violations():
    edges = np.zeros((0, 2), dtype=np.intp)
    assert metrics.edge_violations(np.ones((2, 3)), edges).tolist() == [0, 0]
    assert metrics.incoherent(np.ones((2, 3), bool), edges).tolist() == [False, False]


def test_wilson_bounds_are_the_textbook_ones():
    low, high = metrics.wilson(np.array([8.0, 0.0]), np.array([10.0, 0.0]), 0.95)
    assert (round(float(low[0]), 3), round(float(high[0]), 3)) == (0.490, 0.943)  # 8 of 10, z = 1.96
    assert np.isnan(low[1])


def test_the_bounds_of_a_share_never_leave_0_and_1():
    trials = np.arange(1.0, 2000.0)
    for hits in (np.zeros_like(trials), trials):
        low, high = metrics.wilson(hits, trials, 0.95)
        assert 0 <= low.min() <= high.max() <= 1


def test_counts_of_chosen_nodes_are_theirs_in_the_order_given():
    targets, _, present, known = _case(5)
    chosen = metrics.count(present, targets, known).columns([4, 1])
    for name in ("tp", "fp", "fn", "tn"):
        alone = getattr(metrics.count(present[:, [4, 1]], targets[:, [4, 1]], known[:, [4, 1]]), name)
        np.testing.assert_array_equal(getattr(chosen, name), alone)


@settings(max_examples=15)
@given(SEEDS)
def test_log_loss_and_brier_are_scikit_learns_over_all_known_entries(seed):
    targets, probs, _, _ = _case(seed)
    known = np.random.default_rng(seed).random(targets.shape) < 0.8
    loss = reference.log_loss(targets[known], np.clip(probs[known], 1e-5, 1 - 1e-5), labels=[False, True])
    assert metrics.log_loss(probs, targets, known) == pytest.approx(loss)
    assert metrics.brier(probs, targets, known) == pytest.approx(
        reference.brier_score_loss(targets[known], probs[known])
    )


def test_a_probability_that_is_sure_and_wrong_costs_as_one_a_hundred_thousandth_away():
    yes = np.array([[True]])
    for probs, targets in ((0.0, yes), (1.0, ~yes)):
        assert metrics.log_loss(np.array([[probs]]), targets, yes) == pytest.approx(-np.log(1e-5))
    for probs, targets in ((1.0, yes), (0.0, ~yes)):
        assert metrics.log_loss(np.array([[probs]]), targets, yes) == pytest.approx(-np.log(1 - 1e-5))


def test_a_tie_for_the_most_likely_node_goes_to_the_first_and_what_is_not_known_is_left_out():
    probs, targets = (
        np.array([[0.7, 0.7], [0.1, 0.9], [0.9, 0.1]]),
        np.array([[True, False], [False, True], [False, True]]),
    )
    known = np.array([[True, True], [True, False], [True, True]])
    np.testing.assert_array_equal(metrics.top_is_right(probs, targets, known), [1, np.nan, 0])
