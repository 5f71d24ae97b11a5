"""Influence: values are those of scores, influences are derivatives, and intervals are wide where little is known."""

from __future__ import annotations

import numpy as np
import pytest

from hpa_hier.metrics import influence, scores
from hpa_hier.metrics.bootstrap import interval as former_interval
from hpa_hier.metrics.bootstrap import resamples
from hpa_hier.metrics.influence import Sampling, interval

STEP = 1e-5


def draw(seed, samples=60, nodes=5):
    """Probabilities with ties, targets, what is known, decisions."""
    rng = np.random.default_rng(seed)
    targets = rng.random((samples, nodes)) < 0.3
    probs = np.round(0.5 * rng.random((samples, nodes)) + 0.3 * targets, 1)
    return probs, targets, rng.random((samples, nodes)) < 0.9, probs > 0.5


def metrics(probs, targets, known, present, sampling):
    """Name → what influence measures, and the same metric as scores has it, of weights."""
    count = lambda w: scores.count(present, targets, known, w)  # noqa: E731
    right, entries = present & targets & known, known.sum(axis=1)
    sums = scores.calibration_sums(probs, targets, known)
    both = (present & known).sum(axis=1) + (targets & known).sum(axis=1)
    errors, exact = scores.squared_errors(probs, targets, known), scores.exact_match(present, targets, known)
    return {
        "f1": (influence.f1_by_node(present, targets, known, sampling), lambda w: scores.f1(count(w))),
        "ap": (
            influence.average_precision_by_node(probs, targets, known, sampling),
            lambda w: scores.average_precision(probs, targets, known, w),
        ),
        "precision": (
            influence.share_by_node(right, present & known, sampling),
            lambda w: scores.precision(count(w)),
        ),
        "recall": (influence.share_by_node(right, targets & known, sampling), lambda w: scores.recall(count(w))),
        "macro_f1": (
            influence.f1_by_node(present, targets, known, sampling).mean(range(5)),
            lambda w: scores.macro_f1(count(w)),
        ),
        "micro_f1": (
            influence.ratio_of_sums(2 * right.sum(axis=1), both, sampling),
            lambda w: scores.micro_f1(count(w)),
        ),
        "exact": (influence.mean_of_samples(exact, sampling), lambda w: scores.weighted_mean(exact, w)),
        "brier": (
            influence.ratio_of_sums(errors, entries, sampling, 0.2),
            lambda w: scores.brier(probs, targets, known, w),
        ),
        "ece": (
            influence.calibration_error(sums, sampling, 0.3),
            lambda w: scores.calibration_error(sums, w),
        ),
    }


@pytest.mark.parametrize("seed", range(4))
def test_values_are_those_of_scores_and_influences_are_their_derivatives_by_each_weight(seed):
    drawn = draw(seed)
    more = np.ones((60, 60)) + STEP * np.eye(60)
    for name, (one, metric) in metrics(*drawn, Sampling(np.arange(60))).items():
        np.testing.assert_allclose(one.value, metric(None), atol=1e-12, err_msg=name)
        if name != "ap":  # scores sums average precision in 32 bits, too coarse for a step
            np.testing.assert_allclose(one.influence, (metric(more) - metric(None)) / STEP, atol=1e-5, err_msg=name)


def test_the_influence_on_average_precision_is_its_derivative():
    probs, targets, known, _ = draw(7)
    one = influence.average_precision_by_node(probs, targets, known, Sampling(np.arange(60)))
    for sample in range(60):
        heavier = scores.average_precision(
            *(np.repeat(x, 1000, axis=0)[np.r_[0:60000, np.full(100, 1000 * sample)]] for x in (probs, targets, known))
        )
        np.testing.assert_allclose(10 * (heavier - one.value), one.influence[sample], atol=5e-3)
        if sample == 5:
            break


def test_the_interval_of_a_mean_is_as_wide_as_theory_says():
    values = np.random.default_rng(1).random(400)
    low, high = interval(influence.mean_of_samples(values, Sampling(np.arange(400))), Sampling(np.arange(400)))
    assert high - low == pytest.approx(2 * 1.966 * values.std(ddof=1) / 20, rel=0.02)


@pytest.mark.parametrize("samples", [1, 2, 3, 10])
@pytest.mark.parametrize("right", [0.0, 0.5, 1.0])
def test_no_interval_has_zero_width_and_each_holds_its_metric(samples, right):
    rng = np.random.default_rng(3)
    for _ in range(20):
        targets = rng.random((samples, 5)) < 0.5
        present = np.where(rng.random((samples, 5)) < right, targets, ~targets)
        probs, known = np.where(present, 0.9, 0.1), np.ones_like(targets)
        sampling = Sampling(np.arange(samples))
        for name, (one, _) in metrics(probs, targets, known, present, sampling).items():
            low, high = interval(one, sampling)
            defined = ~np.isnan(one.value)
            assert (np.isnan(low) == ~defined).all()
            assert (low <= one.value)[defined].all(), name
            assert (one.value <= high)[defined].all(), name
            assert (high - low > 1 / (samples + 20))[defined].all(), name


def test_one_image_that_is_right_leaves_almost_everything_open_where_the_bootstrap_had_no_doubt():
    yes = np.ones((1, 1), bool)
    sampling = Sampling(np.zeros(1, int))
    low, high = interval(influence.f1_by_node(yes, yes, yes, sampling), sampling)
    assert (low[0] < 0.4, high[0]) == (True, 1.0)
    (weights,) = resamples(np.zeros(1, int), 100, np.random.default_rng(0))
    resampled = scores.f1(scores.count(yes, yes, yes, weights))
    assert np.concatenate(former_interval(resampled, np.ones(1), 0.95)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("images", [2, 4])
def test_copies_of_an_image_in_one_unit_tell_no_more_than_the_image(images):
    probs, targets, known, present = draw(5)
    once, unit = Sampling(np.arange(60)), Sampling(np.repeat(np.arange(60), images))
    copies = [np.repeat(values, images, axis=0) for values in (probs, targets, known, present)]
    one = metrics(probs, targets, known, present, once)
    for name, (many, _) in metrics(*copies, unit).items():
        if name not in ("ap", "ece"):  # their corrections of bias count samples
            np.testing.assert_allclose(interval(many, unit), interval(one[name][0], once), atol=1e-9, err_msg=name)
        as_if_alone = Sampling(np.arange(60 * images))
        low, high = interval(metrics(*copies, as_if_alone)[name][0], as_if_alone)
        assert (high - low < np.subtract(*interval(many, unit)[::-1])).all(), name


def test_a_mean_over_nodes_leaves_out_those_without_positives():
    _, targets, known, present = draw(6)
    targets[:, 2] = False
    sampling = Sampling(np.arange(60))
    one = influence.f1_by_node(present, targets, known, sampling)
    assert np.isnan(one.value[2])
    assert one.mean(range(5)).value == pytest.approx(one.value[[0, 1, 3, 4]].mean())
    assert np.isnan(one.mean([2]).value)
