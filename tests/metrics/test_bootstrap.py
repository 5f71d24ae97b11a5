"""Bootstrap weights and intervals: what they sum to, what they cover, and that they are fast."""

from __future__ import annotations

import time

import numpy as np
import pytest

from hpa_hier.metrics import bootstrap as intervals
from hpa_hier.metrics import scores as metrics
from hpa_hier.metrics.groups import number_units


def _weights(unit, number, seed=0):
    return np.concatenate(list(intervals.resamples(np.asarray(unit), number, np.random.default_rng(seed))))


def test_a_resample_holds_as_many_samples_as_there_are():
    weights = _weights(np.arange(50), 200)
    assert weights.shape == (200, 50)
    np.testing.assert_array_equal(weights.sum(axis=1), 50)


def test_images_of_one_antibody_are_drawn_together():
    unit = number_units(["HPA1", "HPA2", "HPA1", "", ""])
    weights = _weights(unit, 100)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    assert (weights[:, 3] != weights[:, 4]).any()


def test_the_weights_do_not_depend_on_how_they_are_chunked(monkeypatch):
    whole = _weights(np.arange(40), 30)
    monkeypatch.setattr(intervals, "_ENTRIES", 40 * 7)
    np.testing.assert_array_equal(_weights(np.arange(40), 30), whole)


def test_an_interval_of_a_mean_is_about_as_wide_as_theory_says():
    values = np.random.default_rng(1).normal(0, 1, 400)
    drawn = metrics.weighted_mean(values, _weights(np.arange(400), 2000))
    low, high = intervals.interval(drawn, values.mean(), 0.95)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_a_figure_that_no_resample_defines_has_no_interval():
    low, high = intervals.interval(
        np.array([[np.nan, 1.0], [np.nan, 3.0], [np.nan, np.nan]]), np.array([0.0, 2.0]), 0.5
    )
    assert np.isnan(low[0])
    assert (low[1], high[1]) == (1.5, 2.5)


def test_an_interval_holds_its_figure_also_where_resamples_are_biased():
    rng = np.random.default_rng(5)
    targets = rng.random((150, 20)) < 0.02
    probs, known = rng.random((150, 20)), np.ones_like(targets)
    point = metrics.mean_of_defined(metrics.average_precision(probs, targets, known))
    drawn = metrics.mean_of_defined(
        metrics.average_precision(probs, targets, known, _weights(np.arange(150), 300, seed=5))
    )
    assert np.median(drawn) > point + drawn.std() / 2  # the bias
    low, high = intervals.interval(drawn, point, 0.95)
    assert low < point < high
    assert high - low == pytest.approx(np.ptp(np.quantile(drawn, [0.025, 0.975])))


def test_a_thousand_resamples_of_600_samples_and_44_nodes_take_seconds():
    rng = np.random.default_rng(2)
    targets = rng.random((600, 44)) < 0.1
    probs = rng.random((600, 44))
    started = time.perf_counter()
    for weights in intervals.resamples(np.arange(600), 1000, rng):
        metrics.average_precision(probs, targets, np.ones_like(targets), weights)
        metrics.count(probs > 0.5, targets, np.ones_like(targets), weights)
    assert time.perf_counter() - started < 10
