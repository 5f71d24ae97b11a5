"""Risk and coverage: the share of wrong answers over the share of images answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from hpa_hier.evaluate.figures.figure import new_figure
from hpa_hier.evaluate.figures.palette import LIGHT
from hpa_hier.evaluate.figures.reliability import SYSTEM_COLOURS, SYSTEM_NAMES
from hpa_hier.evaluate.results import RiskPoint, SafeShare


def draw_risk_coverage(curves: Mapping[str, Sequence[RiskPoint]], safe: SafeShare | None) -> Figure | None:
    """Draw the risk of each system's most likely leaf, most confident images first, and the safe answers as a point.

    Args:
        curves: "ensemble" and, where there is one, "baseline" → points.
        safe: all safe answers together.
    """
    if not any(curves.values()):
        return None
    figure = new_figure(3.6, width=5.2)
    axes = figure.add_subplot()
    for system, name in SYSTEM_NAMES.items():
        if points := curves.get(system, ()):
            line = ([point.coverage for point in points], [point.risk for point in points])
            axes.plot(*line, color=SYSTEM_COLOURS[system], label=name)
    if safe is not None and safe.right is not None and safe.low is not None and safe.high is not None:
        risk = 1 - safe.right
        bars = [[risk - (1 - safe.high)], [(1 - safe.low) - risk]]
        axes.errorbar(safe.share, risk, yerr=bars, fmt="D", color=LIGHT["ink"], label="safe answers")
    axes.set(xlim=(0, 1.02), xlabel="share of images answered", ylabel="share of answers that is wrong")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left")
    return figure
