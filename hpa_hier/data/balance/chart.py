"""Balance chart: each class's images before and after several ways of balancing, on a logarithmic axis."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_STYLE = {"before": ("o", "white", "#5c6b73"), "this plan": ("o", "#0b6f8a", "#0b6f8a")}
_OTHERS = (("s", "#b0712a", "#b0712a"), ("D", "#8a3f7d", "#8a3f7d"))


def balance_chart(table: pd.DataFrame, target: int) -> str:
    """Plot a line a class, most images first, with a mark for each way of balancing.

    Args:
        table: as `balance_table` returns it.
        target: images, a broken line.

    Returns:
        The SVG's text, the same for the same table.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    ways = table.drop(columns="growth")
    ways = ways.iloc[::-1].clip(lower=1)  # from below; a class without images is at 1, for 0 has no logarithm
    figure = Figure(figsize=(8, 1.2 + 0.2 * len(ways)), layout="constrained")
    axes = figure.add_subplot(xscale="log", xlabel="images", title="Images of each class before and after balancing")
    axes.hlines(ways.index, ways.min(axis=1), ways.max(axis=1), color="#b9c4ca", zorder=1)
    others = iter(_OTHERS)
    for name in ways:
        marker, face, edge = _STYLE.get(name) or next(others)
        axes.scatter(ways[name], ways.index, 24, facecolor=face, edgecolor=edge, marker=marker, label=name, zorder=2)
    axes.axvline(target, color="#1d2b33", linestyle="--", linewidth=1, label=f"target {target:,}")
    axes.grid(axis="x", color="#dde3e6", zorder=0)
    figure.legend(loc="outside lower center", ncols=5)
    out = io.StringIO()
    with rc_context({"svg.hashsalt": "balance", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
