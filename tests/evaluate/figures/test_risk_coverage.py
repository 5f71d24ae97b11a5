"""Risk and coverage: a curve a system, and the safe answers as a point with its interval."""

from __future__ import annotations

import pytest

from hpa_hier.evaluate.figures.risk_coverage import draw_risk_coverage
from hpa_hier.evaluate.results import RiskPoint, SafeShare

CURVE = (RiskPoint(0.5, 0.0), RiskPoint(1.0, 0.2))


def test_the_safe_answers_are_at_their_share_and_risk():
    axes = draw_risk_coverage({"ensemble": CURVE}, SafeShare("all answers", 9, 0.9, 0.8, 0.7, 0.9)).axes[0]
    assert list(axes.lines[0].get_ydata()) == [0.0, 0.2]
    point = axes.containers[0].lines[0]
    assert [*point.get_xdata(), *point.get_ydata()] == pytest.approx([0.9, 0.2])


def test_without_a_curve_there_is_no_picture():
    assert draw_risk_coverage({"ensemble": ()}, None) is None
