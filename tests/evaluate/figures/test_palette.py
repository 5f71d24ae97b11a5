"""Colours that can be read in both themes."""

from __future__ import annotations

import pytest

from hpa_hier.evaluate.figures.palette import DARK, LIGHT, contrast, ramp, ramp_step, readable_ink


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_on_every_step_of_the_ramp(theme):
    assert min(contrast(fill, readable_ink(fill)) for fill in ramp(theme)) >= 4.5


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_text_can_be_read_on_cards_and_paper(colours):
    for text in ("ink", "soft", "ours", "baseline", "bad", "good"):
        assert min(contrast(colours[text], colours[ground]) for ground in ("paper", "card")) >= 4.5, text


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_ramp_moves_away_from_its_start_step_by_step(theme):
    steps = [contrast(fill, ramp(theme)[0]) for fill in ramp(theme)]
    assert steps == sorted(steps)
    assert steps[-1] > 7


def test_values_beyond_the_ramp_take_its_ends():
    assert [ramp_step(value) for value in (-1, 0, 0.5, 1, 2)] == [0, 0, 5, 10, 10]


def test_both_themes_name_the_same_colours():
    assert LIGHT.keys() == DARK.keys()
