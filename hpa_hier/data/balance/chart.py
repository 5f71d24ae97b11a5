"""Balance chart: each label's images before and after several ways of balancing, as one SVG with a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np

_LEFT, _TOP, _ROW, _WIDTH, _PLOT = 190.0, 62.0, 17.0, 860, 470.0  # pixels
_STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1d2b33 } .axis, .sum { fill: #5c6b73; font-size: 11px }
  .end { text-anchor: end } .mid { text-anchor: middle } .title { font-weight: 600; font-size: 13px }
  .grid { stroke: #dde3e6 } .span { stroke: #b9c4ca; stroke-width: 2 }
  .target { stroke: #1d2b33; stroke-dasharray: 3 3 } .k0 { fill: #fff; stroke: #5c6b73; stroke-width: 1.6 }
  .k1 { fill: #b0712a } .k2 { fill: #8a3f7d } .k3 { fill: #0b6f8a } .paper { fill: #fff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4ecef } .axis, .sum { fill: #a3b2ba } .grid { stroke: #2b3a42 } .span { stroke: #47565e }
    .target { stroke: #e4ecef } .k0 { fill: #131c21; stroke: #a3b2ba } .k1 { fill: #e0a25a } .k2 { fill: #d08ac2 }
    .k3 { fill: #4fb9d6 } .paper { fill: #131c21 }
  }
"""


def balance_chart(names: Sequence[str], counts: Mapping[str, np.ndarray], target: int) -> str:
    """Draw a line a label, most images first, with a mark for each way of balancing.

    Args:
        names: the L labels.
        counts: up to four ways → (L,) images; the first is what there is before, the last is drawn on top. Growth
            beside each line is the second but last's and the last's.
        target: images, drawn as a broken line.

    Returns:
        The SVG's text; it needs no script and no other file.
    """
    before = next(iter(counts.values()))
    order = np.argsort(-before, kind="stable")
    top = max(10.0, *(float(values.max()) for values in counts.values()))
    decades = math.ceil(math.log10(top) * 4) / 4

    def x(value: float) -> float:
        return round(_LEFT + _PLOT * math.log10(max(value, 1.0)) / decades, 1)

    bottom = _TOP + _ROW * len(names)
    lines = [*_frame(x, decades, bottom, target), *_legend(list(counts))]
    shown = list(counts)[-2:]
    for at, way in enumerate(shown):
        lines.append(f'<text class="sum end" x="{_LEFT + _PLOT + 100 + 90 * at}" y="{_TOP - 8}">{escape(way)}</text>')
    for row, label in enumerate(order.tolist()):
        y = _TOP + _ROW * (row + 0.5)
        values = [float(way[label]) for way in counts.values()]
        lines.append(f'<text class="end" x="{_LEFT - 10}" y="{y + 4}">{escape(names[label])}</text>')
        lines.append(f'<line class="span" x1="{x(min(values))}" x2="{x(max(values))}" y1="{y}" y2="{y}"/>')
        for kind, (way, value) in enumerate(zip(counts, values, strict=True)):
            tip = f"<title>{escape(names[label])}, {escape(way)}: {value:,.0f}</title>"
            lines.append(
                f'<circle class="k{kind}" cx="{x(value)}" cy="{y}" r="{4.6 if kind == 0 else 3.6}">{tip}</circle>'
            )
        for at, way in enumerate(shown):
            grown = _growth(float(before[label]), float(counts[way][label]))
            lines.append(f'<text class="sum end" x="{_LEFT + _PLOT + 100 + 90 * at}" y="{y + 4}">{grown}</text>')
    height = bottom + 34
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}" role="img">'
    title = '<text class="title" x="14" y="22">Images of each class before and after balancing</text>'
    paper = f'<rect class="paper" width="{_WIDTH}" height="{height:g}"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", paper, title, *lines, "</svg>", ""])


def _growth(before: float, after: float) -> str:
    if not before:
        return "none"
    ratio = after / before
    return f"× {ratio:.1f}" if ratio >= 2 else f"+{ratio - 1:.1%}"


def _frame(place: Callable[[float], float], decades: float, bottom: float, target: int) -> list[str]:
    lines = []
    for power in range(math.floor(decades) + 1):
        at = place(10.0**power)
        lines.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{_TOP - 2}" y2="{bottom}"/>')
        lines.append(f'<text class="axis mid" x="{at}" y="{bottom + 16}">{10**power:,}</text>')
    at = place(float(target))
    lines.append(f'<line class="target" x1="{at}" x2="{at}" y1="{_TOP - 2}" y2="{bottom}"/>')
    lines.append(f'<text class="axis mid" x="{at}" y="{bottom + 29}">target {target:,}</text>')
    return lines


def _legend(ways: Sequence[str]) -> list[str]:
    lines, at = [], _LEFT
    for kind, way in enumerate(ways):
        lines.append(f'<circle class="k{kind}" cx="{at}" cy="40" r="4.4"/>')
        lines.append(f'<text class="axis" x="{at + 9}" y="44">{escape(way)}</text>')
        at += 26 + 6.4 * len(way)
    return lines
