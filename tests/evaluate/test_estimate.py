"""Estimate: which verdicts stand in a table of differences."""

from __future__ import annotations

import numpy as np
import pytest

from hpa_hier.evaluate.estimate import judge
from hpa_hier.metrics.compare import Difference
from hpa_hier.metrics.groups import FEWEST_UNITS
from hpa_hier.metrics.influence import Sampling


def difference(value, error=0.01, units=100):
    sampling = Sampling(np.arange(units))
    return Difference(value, error, sampling, sampling.degrees)


def test_a_verdict_says_which_way_is_better():
    rows = {"f1": (difference(0.1), True), "loss": (difference(0.2), False), "ap": (difference(0.01), True)}
    assert judge(rows, 0.95) == {"f1": "better", "loss": "worse", "ap": "no clear difference"}


@pytest.mark.parametrize("units", [1, FEWEST_UNITS - 1, FEWEST_UNITS])
def test_there_is_no_verdict_from_fewer_than_some_tens_of_units(units):
    verdict = judge({"f1": (difference(1.0, units=units), True)}, 0.95)["f1"]
    assert verdict == ("better" if units >= FEWEST_UNITS else "too few to tell")


def test_the_more_rows_a_table_has_the_clearer_a_difference_must_be():
    clear = difference(0.023)  # p = 0.02
    others = {f"row {k}": (difference(0.001 * k), True) for k in range(15)}
    assert judge({"f1": (clear, True)}, 0.95)["f1"] == "better"
    assert judge({"f1": (clear, True)} | others, 0.95)["f1"] == "no clear difference"


def test_a_row_that_says_the_same_again_costs_nothing():
    again = {f"row {k}": (difference(0.023), True) for k in range(16)}
    assert set(judge(again, 0.95).values()) == {"better"}


def test_the_same_answers_and_metrics_without_a_value_get_no_judgement():
    rows = {"f1": (None, True), "ap": (difference(float("nan"), float("nan")), True)}
    assert judge(rows, 0.95) == {"f1": "same answers"}
