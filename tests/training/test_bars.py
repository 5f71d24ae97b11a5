"""How far several trainings are: one bar each on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import io
import re

import pytest

from hpa_hier.training.bars import Bars


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_without_a_terminal_a_line_comes_every_half_minute_with_the_time_left(clock: Clock) -> None:
    out = io.StringIO()
    with Bars(4, out, clock) as bars:
        bars.report("leaf", 0.0)
        clock.time = 29
        bars.report("leaf", 0.25)
        assert out.getvalue() == ""
        clock.time = 60
        bars.report("leaf", 0.5)
        assert out.getvalue() == "leaf 50 %; 0 of 4 done, 07:00 left\n"
        bars.end("leaf")
        bars.end("kept")  # was trained before, which takes no time
        clock.time = 120
        bars.report("coarse", 0.0)
    assert out.getvalue().splitlines()[1] == "coarse 0 %; 2 of 4 done, 08:00 left"


def test_the_time_left_of_a_resumed_training_is_by_what_it_has_done_since(clock: Clock) -> None:
    bars = Bars(1, io.StringIO(), clock)
    bars.report("leaf", 0.8)
    assert bars.describe() == "leaf 80 %; 0 of 1 done"
    clock.time = 60
    bars.report("leaf", 0.9)
    assert bars.describe() == "leaf 90 %; 0 of 1 done, 01:00 left"


def test_on_a_terminal_each_training_has_a_bar_and_lines_stand_above_them(clock: Clock) -> None:
    out = Terminal()
    with Bars(2, out, clock) as bars:
        bars.report("leaf", 0.25)
        bars.report("coarse", 0.5)
        bars.write("leaf-s1: written")
        bars.end("leaf")
    shown = re.split(r"[\r\n]", out.getvalue())
    assert any(re.match(r"leaf +25% .*left", line) for line in shown)
    assert any(re.match(r"coarse +50% .*left", line) for line in shown)
    assert any(line.startswith("0 of 2 done") for line in shown)
    assert any(line.endswith("leaf-s1: written") for line in shown)
