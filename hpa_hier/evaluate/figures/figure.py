"""Figure: what a figure of the report is, its style, and how it becomes SVG in the page or a file for a paper."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hpa_hier.evaluate.figures.palette import LIGHT, ramp
from hpa_hier.evaluate.results import Results
from hpa_hier.evaluate.training_record import ClassCount, TrainingRecord
from hpa_hier.files.atomic import write_bytes
from hpa_hier.files.faults.leftovers import sweep
from hpa_hier.runs.evaluation import Evaluation

WIDTH = 6.2  # inches

_STYLE: dict[Any, Any] = {
    **{"font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9},
    **{"xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8, "legend.frameon": False},
    **{"text.color": LIGHT["ink"], "axes.labelcolor": LIGHT["soft"], "axes.titlecolor": LIGHT["ink"]},
    **{"xtick.color": LIGHT["soft"], "ytick.color": LIGHT["soft"], "axes.edgecolor": LIGHT["line"]},
    **{"xtick.major.size": 0, "ytick.major.size": 0, "xtick.minor.size": 0, "ytick.minor.size": 0},
    **{"axes.grid": True, "grid.color": LIGHT["line"], "grid.linewidth": 0.8, "axes.axisbelow": True},
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False},
    **{"figure.facecolor": LIGHT["card"], "axes.facecolor": "none", "axes.titlelocation": "left"},
    **{"lines.linewidth": 1.8, "lines.solid_capstyle": "round", "lines.markersize": 5},
    **{"text.parse_math": False, "svg.fonttype": "none", "pdf.fonttype": 42, "savefig.dpi": 200},
    **{"path.simplify": True, "axes.unicode_minus": True},
}
_UNDATED = {  # without metadata that differ between runs or ask of a network
    "svg": dict.fromkeys(("Creator", "Date", "Format", "Type")),
    "pdf": dict.fromkeys(("CreationDate", "Creator", "Producer")),
    "png": {"Software": None},
}
_VARIABLES = {colour: f"var(--{name})" for name, colour in LIGHT.items()}
_VARIABLES |= {colour: f"var(--ramp{step})" for step, colour in enumerate(ramp("light"))}


@dataclass(frozen=True)
class ReportData:
    """What figures are drawn from."""

    evaluation: Evaluation
    results: Results
    records: Sequence[TrainingRecord]  # the members' training
    counts: Sequence[ClassCount]  # training images; empty where the pack is absent


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the report."""

    name: str  # of its file, and the prefix of its identifiers in the page
    section: str  # of the page that shows it, as the page's anchors
    draw: Callable[[ReportData], Figure | None]  # None where the data hold nothing to show
    description: str  # a sentence for those who cannot see it
    inline: bool = True  # shown in the page; False: only its PDF is there


def draw_figures(table: Sequence[ReportFigure], data: ReportData) -> dict[ReportFigure, Figure]:
    """Draw the figures that have something to show."""
    with style():
        drawn = {one: one.draw(data) for one in table}
    figures = {one: figure for one, figure in drawn.items() if figure}
    for figure in figures.values():
        freeze_layout(figure)
    return figures


def save_figures(figures: Mapping[ReportFigure, Figure], folder: Path, form: str) -> list[Path]:
    """Write each figure as a file of the form "pdf", "png" or "svg", in the light theme on white."""
    sweep(folder)  # of a killed process that wrote the same
    for one, figure in figures.items():
        write_bytes(folder / f"{one.name}.{form}", _render(figure, form, one.name))
    return [folder / f"{one.name}.{form}" for one in figures]


@contextmanager
def style() -> Iterator[None]:
    """Draw in the report's style; matplotlib's own settings are as before afterwards."""
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # the page's reader may have the font
        yield


def inline_svg(figure: Figure, name: str, description: str) -> str:
    """Return a figure as an SVG element whose colours are the page's CSS variables.

    Args:
        figure: drawn in the colours of palette.LIGHT and its ramp.
        name: keeps its identifiers apart from those of other figures in the page.
        description: read out instead of the picture.
    """
    text = _render(figure, "svg", name).decode("utf-8")
    text = text[text.index("<svg") :]
    used = set(re.findall(r"(?:url\(#|xlink:href=\"#)([^\")]+)", text))
    text = re.sub(r' id="([^"]+)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", text)
    text = re.sub(r"(url\(#|xlink:href=\"#)", rf"\g<1>{name}-", text)
    text = re.sub(r"#[0-9a-f]{6}\b", lambda found: _VARIABLES.get(found[0], found[0]), text)
    head, body = _compact(text).split(">", 1)
    view = head[head.index("viewBox=") :].split('"')[1]
    return f'<svg class="chart" viewBox="{view}" role="img"><title>{escape(description)}</title>{body.strip()}'


def _compact(svg: str) -> str:
    """Return an SVG that looks the same in half the bytes, in the page's own font."""
    svg = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", re.sub(r"\s+", " ", tag[0])), svg)
    svg = re.sub(r">\s+<", "><", svg)
    for waste in (r" font-family: [^;\"]+;", r' transform="rotate\(-0 [^)]*\)"', r"<g/>", r"<metadata>.*?</metadata>"):
        svg = re.sub(waste, "", svg)
    while (bare := re.sub(r"<g>((?:(?!</?g\b).)*)</g>", r"\1", svg)) != svg:  # groups that say nothing
        svg = bare
    return svg


def pdf_uri(figure: Figure, name: str) -> str:
    """Return a figure as the data URI of a PDF, for a paper."""
    return "data:application/pdf;base64," + base64.b64encode(_render(figure, "pdf", name)).decode("ascii")


def _render(figure: Figure, form: str, name: str) -> bytes:
    """Return the figure's file; the same figure gives the same bytes."""
    handle = io.BytesIO()
    with style(), matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(handle, format=form, metadata=_UNDATED[form])
    return handle.getvalue()


def freeze_layout(figure: Figure) -> None:
    """Lay a figure out once and for all, which is most of the time that drawing takes."""
    engine = figure.get_layout_engine()
    if engine is not None:
        with style():
            engine.execute(figure)
        figure.set_layout_engine("none")


def new_figure(height: float, width: float = WIDTH, *, fixed: bool = False) -> Figure:
    """Return an empty figure; sizes in inches. A fixed one is laid out by who draws it, ten times faster."""
    return Figure(figsize=(width, height), layout=None if fixed else "constrained")


def label_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Give a plot one row for each label, the first at the top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", labelcolor=LIGHT["ink"], pad=8)
