"""Stacks: projections and frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpa_hier.data.images.stacks import StackRules, choose_frame, choose_sections, describe_stacks, parse_frame, project
from hpa_hier.errors import UserError


@given(st.integers(1, 300), st.integers(0, 9))
def test_projections_are_those_of_numpy(count, seed):
    stack = np.random.default_rng(seed).integers(0, 65_535, (count, 2, 3), dtype=np.uint16, endpoint=True)
    np.testing.assert_array_equal(project(iter(stack), "max"), stack.max(axis=0))
    np.testing.assert_array_equal(project(iter(stack), "mean"), np.floor(stack.mean(axis=0) + 0.5))


def test_the_middle_needs_one_section():
    assert [choose_sections(n, "middle") for n in (1, 2, 3, 4)] == [range(1), range(1), range(1, 2), range(1, 2)]


def test_the_section_given_is_not_written_to():
    first = np.zeros((1, 2, 2), np.uint8)
    project([first, np.ones_like(first)], "max")
    assert not first.any()


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "First", "", "all"])
def test_what_is_no_frame_is_refused(text):
    with pytest.raises(UserError, match="is no frame; it is first, middle, last or a number, counted from 1"):
        parse_frame(text)


def test_a_single_frame_needs_no_choice():
    assert choose_frame(Path("a.tif"), 1, StackRules(frame="7")) == 0


def test_what_became_of_stacks_is_told_once_for_all_images():
    assert describe_stacks([(1, 1)] * 5, StackRules()) == ()
    assert describe_stacks([(3, 1), (5, 4)], StackRules("mean", "3")) == (
        "2 of 2 are z stacks of 3 to 5 sections: their mean is taken",
        "1 of 2 are time series of 4 frames: frame 3 is taken",
    )
