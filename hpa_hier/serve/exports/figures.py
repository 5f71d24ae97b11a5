"""Figures: cards as a PDF, a page each: the picture and its channels, the likeliest places, the tree."""

from __future__ import annotations

import io
import textwrap
import threading
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from hpa_hier.data.images.channels import STAINS
from hpa_hier.predict.explanation.draw import composite
from hpa_hier.predict.explanation.explained import Picture
from hpa_hier.serve.cards import make_card
from hpa_hier.serve.safety.refusal import one_line
from hpa_hier.serve.work.job import Job, Ready

_LIT, _DIM = "#0b5c8a", "#6b7280"  # of nodes that are called, and of others
_INCHES = (11.69, 8.27)  # A4 across
_CHANNELS = 4
_ONE = threading.Lock()  # matplotlib shares what it knows of fonts
_LINES, _WIDTH = 24, 74  # of reasons


def draw_cards(job: Job, chosen: Sequence[Ready]) -> bytes:
    """Return a PDF with a page for each image."""
    content = io.BytesIO()
    with _ONE, PdfPages(content, metadata={"Creator": "hpa_hier", "CreationDate": None}) as pages:
        for one in chosen:
            pages.savefig(_draw(job, one))
    return content.getvalue()


def _draw(job: Job, one: Ready) -> Figure:
    card = make_card(job, one)
    figure = Figure(figsize=_INCHES)
    grid = figure.add_gridspec(2, 3, width_ratios=(1.2, 1, 1.1), left=0.04, right=0.98, top=0.87, bottom=0.1)
    pixels = job.pixels(one)
    _write(figure, 0.04, 0.95, card["id"], size=15, weight="bold")
    called = ", ".join(card["labels"]) or "no place reaches its threshold"
    reason = card["safe_reason"] or "none"
    safe = card["safe"] or reason.removeprefix("no safe answer: ")
    _write(figure, 0.04, 0.915, f"called: {called}  ·  safe answer: {safe}", size=10)
    notes = "; ".join(dict.fromkeys(filter(None, [card["caution"], *card["doubtful"]])))
    corrected = card["corrected"]
    if corrected:
        told = "unsure" if corrected["unsure"] else ", ".join(corrected["labels"])
        notes = "; ".join(filter(None, [f"corrected to: {told}", notes]))
    _write(figure, 0.04, 0.035, notes, size=8, color="#9a3412")
    missing, channels = tuple(card["filled"]), job.spec.channels
    whole = Picture(pixels, channels, missing)
    _show_picture(figure.add_subplot(grid[0, 0]), whole, "all channels, as the networks see them")
    inner = grid[1, 0].subgridspec(2, 2, wspace=0.05, hspace=0.25)
    for k, channel in enumerate(channels[:_CHANNELS]):
        axes = figure.add_subplot(inner[k // 2, k % 2])
        lacking = " (absent)" if channel in missing else ""
        alone = Picture(pixels[k : k + 1], (channel,), missing)
        _show_picture(axes, alone, f"{STAINS.get(channel, channel)}{lacking}", 7)
    _show_places(figure.add_subplot(grid[0, 1]), card["places"])
    _show_reasons(figure.add_subplot(grid[1, 1]), one.answers.reasons(one.id).why)
    _show_tree(figure.add_subplot(grid[:, 2]), card["nodes"], one.answers.taxonomy)
    return figure


def _write(figure: Figure, x: float, y: float, text: str, **style: Any) -> None:  # noqa: ANN401 - of matplotlib
    figure.text(x, y, one_line(text, 220), parse_math=False, **style)


def _show_picture(axes: Axes, picture: Picture, title: str, size: float = 8) -> None:
    axes.imshow(composite(picture))
    axes.set_axis_off()
    axes.set_title(title, fontsize=size)


def _show_places(axes: Axes, places: Sequence[dict[str, Any]]) -> None:
    axes.barh(range(len(places)), [one["prob"] for one in places], color=_LIT, height=0.5)
    for i, one in enumerate(places):
        axes.text(0.0, i - 0.34, f"{one['node']}  {one['prob']:.2f}", fontsize=9, va="bottom", parse_math=False)
    axes.set(xlim=(0, 1), ylim=(2.6, -0.8), yticks=[], xlabel="probability", title="likeliest places")
    axes.title.set_fontsize(9)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _show_reasons(axes: Axes, lines: Sequence[str]) -> None:
    axes.set_axis_off()
    axes.set_title("why", fontsize=9, loc="left")
    wrapped = [part for line in lines for part in _wrap(line)]
    for i, line in enumerate(wrapped[:_LINES]):
        axes.text(0, 1 - (i + 0.5) / _LINES, line, fontsize=6.5, va="center", parse_math=False)


def _wrap(line: str) -> list[str]:
    """Return a line as several of a column's width, each with its indent."""
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.wrap(one_line(line, 400), _WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ")


def _show_tree(axes: Axes, nodes: Sequence[dict[str, Any]], tree: Any) -> None:  # noqa: ANN401 - a Taxonomy
    axes.set_axis_off()
    axes.set_title("label tree: probability (needs)", fontsize=9)
    step = 1.0 / max(len(nodes), 30)
    for i, one in enumerate(nodes):
        needs = "" if one["threshold"] is None else f" ({one['threshold']:.2f})"
        indent = 0.05 * (tree.depth(one["node"]) - 1)
        style: dict[str, Any] = {"color": _LIT, "weight": "bold"} if one["present"] else {"color": _DIM}
        size = min(8.0, 300 * step)
        text = f"{one['node']}  {one['prob']:.2f}{needs}"
        axes.text(indent, 1 - (i + 0.5) * step, text, fontsize=size, va="center", parse_math=False, **style)
