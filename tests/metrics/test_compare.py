"""Compare: p-values agree with intervals, nothing is certain, and many comparisons call nothing by chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_ind

from hpa_hier.metrics.compare import Difference, degrees_of_freedom, holm
from hpa_hier.metrics.influence import Sampling, f1_by_node, mean_of_samples


def test_a_p_value_is_below_5_percent_exactly_where_the_interval_excludes_0():
    rng = np.random.default_rng(0)
    inside = set()
    for _ in range(200):
        sampling = Sampling(np.arange(40))
        one, other = (mean_of_samples(rng.random(40) < share, sampling) for share in (0.7, 0.5))
        difference = Difference.between(one, other, sampling)
        low, high = difference.interval()
        assert (difference.p_value() < 0.05) == (not low <= 0 <= high)
        inside.add(low <= 0 <= high)
    assert inside == {True, False}


def test_systems_that_decide_alike_on_these_samples_may_still_differ():
    yes = np.ones((10, 1), bool)
    sampling = Sampling(np.arange(10))
    one = f1_by_node(yes, yes, yes, sampling).mean([0])
    low, high = Difference.between(one, one, sampling).interval()
    assert low < -0.05
    assert high > 0.05


def test_a_paired_difference_is_surer_than_one_of_two_samples():
    rng = np.random.default_rng(1)
    sampling = Sampling(np.arange(300))
    hard = rng.random(300)
    one, other = (mean_of_samples(hard + 0.1 * rng.random(300) < 0.6, sampling) for _ in range(2))
    paired = Difference.between(one, other, sampling).error
    assert paired < 0.6 * np.sqrt(sampling.variance(one.influence) + sampling.variance(other.influence))


def test_what_is_not_defined_is_no_finding():
    sampling = Sampling(np.arange(3))
    nothing = mean_of_samples(np.full(3, np.nan), sampling)
    assert Difference.between(nothing, nothing, sampling).p_value() == 1


@pytest.mark.parametrize("rule", ["holm", "each at 5 %"])
def test_of_tables_with_16_rows_and_nothing_to_find_at_most_5_percent_call_anything(rule):
    p_values = np.random.default_rng(2).random((4000, 16))
    called = np.mean([(holm(row, 0.05) if rule == "holm" else row < 0.05).any() for row in p_values])
    standard_error = np.sqrt(0.05 * 0.95 / 4000)
    assert (called < 0.05 + 3 * standard_error) == (rule == "holm")


def test_holm_finds_more_than_bonferroni_and_stops_at_the_first_that_is_not():
    assert holm([0.01, 0.02, 0.03], 0.05).tolist() == [True, True, True]
    assert holm([0.03, 0.01, 0.9, 0.04], 0.05).tolist() == [False, True, False, False]
    assert holm([], 0.05).tolist() == []


def test_the_error_of_a_difference_between_different_samples_is_that_of_both_and_of_welchs_degrees():
    rng = np.random.default_rng(4)
    one, other = rng.random(200), rng.random(50) ** 2
    parts = [
        (mean_of_samples(values, sampling := Sampling(np.arange(len(values)))), sampling) for values in (one, other)
    ]
    found = Difference.apart(parts[0][0], parts[1][0], parts[0][1], parts[1][1])
    welch = ttest_ind(one, other, equal_var=False)
    assert found.value == pytest.approx(one.mean() - other.mean())
    assert found.degrees == pytest.approx(welch.df, rel=0.2)  # which takes the values to be normal
    low, high = welch.confidence_interval(0.95)
    assert 1 <= (found.interval()[1] - found.interval()[0]) / (high - low) < 1.15  # a doubt is added for few units
    assert sum(found.interval()) == pytest.approx(low + high)


def test_a_variance_that_one_unit_makes_has_three_degrees_of_freedom_and_one_of_alike_units_nearly_all():
    assert degrees_of_freedom(np.array([1.0, 0, 0, 0, 0])) == 3
    assert degrees_of_freedom(np.array([1.0, -1.0] * 20)) == 40
    assert degrees_of_freedom(np.zeros(7)) == 7
