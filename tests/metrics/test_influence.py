"""Influence: values are those of scores, influences are derivatives, and intervals are wide where little is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import foldnorm

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


def test_the_bias_of_f1_is_the_second_order_term_of_a_binomial_share():
    """F1 = 2 J / (1 + J) of a share J: half its second derivative, by steps, times the variance of J."""
    _, targets, known, present = draw(8)
    sampling = Sampling(np.arange(60))
    one = influence.f1_by_node(present, targets, known, sampling)
    for n in range(5):
        either, both = (
            (op(present[:, n], targets[:, n]) & known[:, n]).sum() for op in (np.logical_or, np.logical_and)
        )
        trials = either + 2 * influence.IMAGINED  # every sample is a unit of its own
        share = (both + influence.IMAGINED) / trials
        f1, step = (lambda j: 2 * j / (1 + j)), 1e-4
        second = (f1(share + step) - 2 * f1(share) + f1(share - step)) / step**2
        assert one.bias[n] == pytest.approx(second / 2 * share * (1 - share) / trials, rel=1e-4)


def test_the_bias_of_average_precision_is_that_of_its_docstring_step_by_step():
    probs, targets, known, _ = draw(9)
    one = influence.average_precision_by_node(probs, targets, known, Sampling(np.arange(60)))
    for n in range(5):
        p, t = probs[known[:, n], n], targets[known[:, n], n]
        positives, ap, unbiased = t.sum(), 0.0, 0.0
        for threshold in np.unique(p):
            found, taken, gained = t[p >= threshold].sum(), (p >= threshold).sum(), t[p == threshold].sum()
            expected, wrong = found * positives / (positives + 1), taken - found
            ap += gained * found / taken / positives
            if found:
                reached = expected / (expected + wrong) - wrong * expected / (expected + wrong) ** 3
                unbiased += gained * min(max(reached, 0), 1) / positives
        assert one.value[n] == pytest.approx(ap)
        assert one.bias[n] == pytest.approx(ap - unbiased)


def test_the_bias_of_calibration_is_what_noise_of_its_size_adds_to_each_bins_distance():
    probs, targets, known, _ = draw(10)
    sums, sampling = scores.calibration_sums(probs, targets, known), Sampling(np.arange(60))
    gap, bias = sums.probs - sums.truth, 0.0
    for bin_gap in gap.T:
        seen, noise = abs(bin_gap.sum()), np.sqrt((bin_gap**2).sum())
        true = np.sqrt(max(0.0, seen**2 - noise**2))
        folded = foldnorm.mean(true / noise, scale=noise) - true if noise else 0.0
        bias += max(seen - true, folded)
    assert influence.calibration_error(sums, sampling, 0.3).bias == pytest.approx(bias / sums.entries.sum())


@pytest.mark.parametrize("right", [0, 3, 20, 40])
def test_alone_a_share_has_wilsons_interval_where_that_is_the_wider(right):
    part, whole = (np.arange(40) < right)[:, None], np.ones((40, 1), bool)
    sampling = Sampling(np.arange(40))
    low, high = interval(influence.share_by_node(part, whole, sampling), sampling)
    below, above = scores.wilson(np.array([float(right)]), np.array([40.0]), 0.95)
    share, spread = right / 40, sampling.quantile * np.sqrt(right / 40 * (1 - right / 40) / 39)
    assert low == pytest.approx(max(0.0, min(share - spread, below[0])))
    assert high == pytest.approx(min(1.0, max(share + spread, above[0])))


def test_the_doubt_of_two_alike_systems_is_half_a_trial_in_either_direction():
    part, whole = (np.arange(30) < 24)[:, None], np.ones((30, 1), bool)
    doubt = influence.share_by_node(part, whole, Sampling(np.arange(30))).doubt[0]
    near = 25 / 32  # one of each more
    assert doubt == pytest.approx(near * (1 - near) * (2 / 32) ** 2)
    loss = influence.ratio_of_sums(np.full(30, 0.1), np.ones(30), Sampling(np.arange(30)), worst=0.5)
    near = (0.2 * 30 + 1) / 32
    assert loss.doubt == pytest.approx(near * (1 - near) * (2 / 32) ** 2 * 0.25)


def test_a_loss_beyond_its_worst_is_as_open_as_one_at_its_worst():
    worst, beyond = (
        influence.ratio_of_sums(np.full(30, loss), np.ones(30), Sampling(np.arange(30)), worst=0.5)
        for loss in (0.5, 0.9)
    )
    assert beyond.doubt == worst.doubt > 0


@pytest.mark.parametrize("wrong", [0, 4])
def test_f1_has_the_interval_of_the_share_of_which_it_is_a_function_where_that_is_the_wider(wrong):
    """F1 = 2 J / (1 + J): of J, Wilson's bound for as many trials as there are samples, each its own unit."""
    samples = 40
    present, yes = (np.arange(samples) >= wrong)[:, None], np.ones((samples, 1), bool)
    one = influence.f1_by_node(present, yes, yes, sampling := Sampling(np.arange(samples)))
    share = scores.wilson(np.array([samples - wrong]), np.array([samples]), 0.95)[0]
    spread = sampling.quantile * np.sqrt(sampling.variance(one.influence))
    wilsons = one.value - 2 * share / (1 + share)
    assert interval(one, sampling)[0] == pytest.approx(one.value - max(wilsons, spread))


def test_a_loss_that_is_alike_everywhere_is_as_open_as_the_imagined_units_say():
    one = influence.ratio_of_sums(np.full(30, 0.1), np.ones(30), sampling := Sampling(np.arange(30)), worst=0.5)
    imagined = 2 * (0.1**2 + 0.4**2) / 34**2  # two at 0 and two at 0.5
    low, high = interval(one, sampling)
    reach = sampling.quantile * np.sqrt(max(imagined, float(one.doubt)))
    assert (low, high) == (pytest.approx(max(0, 0.1 - reach)), pytest.approx(0.1 + reach))


def test_the_metric_of_one_node_is_its_column_of_the_metrics_of_all():
    _, targets, known, present = draw(3)
    sampling = Sampling(np.arange(60))
    every = influence.f1_by_node(present, targets, known, sampling)
    one, alone = every.at(2), influence.f1_by_node(*(part[:, 2:3] for part in (present, targets, known)), sampling)
    assert one.value == alone.value[0]
    np.testing.assert_array_equal(one.influence, alone.influence[:, 0])
    assert (one.below, one.above, one.bias, one.doubt) == tuple(
        part[0] for part in (alone.below, alone.above, alone.bias, alone.doubt)
    )


@pytest.mark.parametrize("seed", range(3))
def test_what_is_not_known_makes_no_difference_to_any_metric(seed):
    probs, targets, known, present = draw(seed)
    others = draw(seed + 50)
    changed = [np.where(known, *pair) for pair in ((probs, others[0]), (targets, others[1]), (present, others[3]))]
    sampling = Sampling(np.arange(60))
    first = metrics(probs, targets, known, present, sampling)
    for name, (many, _) in metrics(changed[0], changed[1], known, changed[2], sampling).items():
        if name != "exact":
            one = first[name][0]
            for field in ("value", "influence", "below", "above", "bias", "doubt"):
                np.testing.assert_array_equal(getattr(many, field), getattr(one, field), err_msg=f"{name} {field}")


def test_a_mean_of_samples_leaves_out_those_where_it_is_not_defined():
    values = np.random.default_rng(1).random(40)
    values[::4] = np.nan
    one, alone = (
        influence.mean_of_samples(v, Sampling(np.arange(len(v)))) for v in (values, values[~np.isnan(values)])
    )
    assert one.value == pytest.approx(np.nanmean(values))
    np.testing.assert_allclose(one.influence[~np.isnan(values)], alone.influence)
    assert not one.influence[np.isnan(values)].any()


def test_a_mean_of_samples_that_are_all_right_is_as_open_as_wilsons_share():
    sampling = Sampling(np.arange(40))
    low, high = interval(influence.mean_of_samples(np.ones(40), sampling), sampling)
    below, above = scores.score_interval(np.array(1.0), np.array(40.0), sampling.quantile)
    assert (low, high) == (pytest.approx(below, abs=0.01), pytest.approx(above))


def test_a_mean_over_nodes_has_their_mean_bias_and_what_few_samples_hide_adds_up_as_variances_do():
    probs, targets, known, _ = draw(6)
    sampling = Sampling(np.arange(60))
    every = influence.average_precision_by_node(probs, targets, known, sampling)
    alone, three = every.mean([1]), every.mean([0, 1, 3])
    for name in ("value", "bias", "below", "above", "doubt"):
        assert getattr(alone, name) == pytest.approx(getattr(every, name)[1])
        of_three = getattr(every, name)[[0, 1, 3]]
        assert getattr(three, name) == pytest.approx(
            of_three.mean() if name in ("value", "bias") else of_three.sum() / 9
        )
    np.testing.assert_allclose(three.influence, every.influence[:, [0, 1, 3]].mean(axis=1))
    nothing = every.mean([])
    assert np.isnan(nothing.value)
    assert (nothing.bias, nothing.doubt) == (0, 0)
