"""The reliability diagram: what is calibrated lies on the diagonal."""

from __future__ import annotations

import pytest

from hpa_hier.evaluate.figures.reliability import draw_reliability
from hpa_hier.evaluate.results import ReliabilityBin


def test_a_perfectly_calibrated_bin_lies_on_the_diagonal():
    axes = draw_reliability({"ensemble": [ReliabilityBin(50, 0.3, 0.3, 0.2, 0.4)]}).axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines["ideal"].get_xdata()) == list(lines["ideal"].get_ydata())
    point = axes.containers[0].lines[0]
    assert [*point.get_xdata(), *point.get_ydata()] == pytest.approx([0.3, 0.3])


def test_two_systems_stand_beside_each_other():
    bins = [ReliabilityBin(50, 0.3, 0.3, 0.2, 0.4)]
    axes = draw_reliability({"ensemble": bins, "baseline": bins}).axes[0]
    flat, ours = (container.lines[0].get_xdata()[0] for container in axes.containers)
    assert ours < 0.3 < flat
