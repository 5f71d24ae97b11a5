"""An ensemble that is no better is accepted as seldom as promised, and one that is better nearly always."""

from __future__ import annotations

import pytest
from acceptance import CASES, NOT_BETTER, SETTINGS, Size, compare_draw
from scipy import stats

SMALL = Size(images=100, leaves=4, members=3)


def count_accepted(name: str, draws: int, size: Size = SMALL) -> int:
    number = list(CASES).index(name)
    return sum(compare_draw(CASES[name], size, (seed, number)).upper < 0 for seed in range(draws))


def most_accepted(draws: int) -> int:
    """What as many draws reach in 97.5 % of cases, where each is accepted with the chance that is promised."""
    return int(stats.binom.ppf(0.975, draws, 1 - SETTINGS.accept))


@pytest.mark.parametrize("name", ["own mean", pytest.param("two stacks", marks=pytest.mark.slow)])
def test_what_is_no_better_is_seldom_accepted(name: str) -> None:
    assert count_accepted(name, 40) <= most_accepted(40) < 14


@pytest.mark.slow
@pytest.mark.parametrize("name", NOT_BETTER)
def test_what_is_no_better_is_accepted_in_no_more_draws_than_promised(name: str) -> None:
    assert count_accepted(name, 200) <= most_accepted(200)


def test_what_is_better_is_nearly_always_accepted() -> None:
    assert count_accepted("one better", 12, Size(images=200, leaves=6, members=3)) >= 11
