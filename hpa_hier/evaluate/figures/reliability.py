"""Reliability: the share of answers that is true over the probability given, with the number of answers below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from hpa_hier.evaluate.figures.figure import new_figure
from hpa_hier.evaluate.figures.palette import LIGHT
from hpa_hier.evaluate.results import ReliabilityBin

SYSTEM_NAMES = {"baseline": "flat ensemble", "ensemble": "hierarchical ensemble"}  # drawn in this order
SYSTEM_COLOURS = {"baseline": LIGHT["baseline"], "ensemble": LIGHT["ours"]}


def draw_reliability(curves: Mapping[str, Sequence[ReliabilityBin]]) -> Figure:
    """Draw a line with intervals for each system over the diagonal, and how many answers the ensemble's points hold.

    Args:
        curves: "ensemble" and, where there is one, "baseline" → bins.
    """
    figure = new_figure(6.0, width=5.2)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1))
    axes.plot((0, 1), (0, 1), color=LIGHT["soft"], linewidth=1, linestyle=(0, (1, 3)), label="ideal")
    shift = {"baseline": 0.006, "ensemble": -0.006} if len(curves) > 1 else {}
    for system, bins in ((system, curves[system]) for system in SYSTEM_NAMES if curves.get(system)):
        share = np.array([one.share for one in bins])
        axes.errorbar(
            np.array([one.prob for one in bins]) + shift.get(system, 0),
            share,
            yerr=np.abs(np.array([(one.low, one.high) for one in bins]).T - share),
            color=SYSTEM_COLOURS[system],
            marker="o",
            markerfacecolor=LIGHT["card"] if system == "baseline" else SYSTEM_COLOURS[system],
            elinewidth=1.1,
            label=SYSTEM_NAMES[system],
        )
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="share that is true", box_aspect=1)
    axes.legend(loc="upper left")
    bins = curves.get("ensemble", ())
    below.bar([one.prob for one in bins], [one.entries for one in bins], width=0.05, color=LIGHT["soft"], alpha=0.5)
    below.set(yscale="log", ylabel="answers", xlabel="probability given")
    below.yaxis.set_major_formatter("{x:,.0f}")
    below.yaxis.set_minor_locator(NullLocator())
    return figure
