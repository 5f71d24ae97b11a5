"""A figure becomes SVG that follows the page's theme, and a file for a paper, the same bytes every time."""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.figure import Figure

from hpa_hier.evaluate.figures.figure import (
    ReportFigure,
    draw_figures,
    inline_svg,
    new_figure,
    pdf_uri,
    save_figures,
    style,
)
from hpa_hier.evaluate.figures.palette import LIGHT, ramp


def simple(words: str = "loss") -> Figure:
    with style():
        figure = new_figure(2.0)
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=LIGHT["ours"])
        axes.plot([0, 1], [1, 0], color=ramp("light")[3])
        axes.set_title(words)
    return figure


def simple_svg(words: str = "loss", description: str = "a line") -> str:
    return inline_svg(simple(words), "simple", description)


def report_figure(figure: Figure | None) -> ReportFigure:
    return ReportFigure("simple", "headline", lambda data: figure, "a line")


def test_the_svg_takes_its_colours_from_the_page():
    svg = simple_svg()
    assert "var(--ours)" in svg
    assert "var(--ramp3)" in svg
    assert "var(--ink)" in svg
    assert not re.search(r"#[0-9a-f]{6}\b", svg)


def test_the_svg_is_well_formed_says_what_it_shows_and_asks_nothing_of_a_network():
    svg = simple_svg("a < b & $x$", 'F1 of "A" & <b>')
    root = ElementTree.fromstring(svg.replace("xlink:", ""))
    assert root.attrib["role"] == "img"
    assert root[0].text == 'F1 of "A" & <b>'
    assert "a < b & $x$" in "".join(root.itertext())
    assert "http" not in svg


def test_identifiers_of_two_figures_in_one_page_differ():
    first, second = (inline_svg(simple(), name, "") for name in ("first", "second"))
    found = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (first, second)]
    assert found[0]
    assert not found[0] & found[1]
    for svg, identifiers in zip((first, second), found, strict=True):
        assert set(re.findall(r"(?:url\(#|href=\"#)([^\")]+)", svg)) <= identifiers


@pytest.mark.parametrize("form", ["pdf", "png", "svg"])
def test_the_same_figure_gives_the_same_file(tmp_path, form):
    (first,), (second,) = (
        save_figures({report_figure(None): simple()}, tmp_path / name, form) for name in ("one", "other")
    )
    assert first.name == f"simple.{form}"
    assert first.read_bytes() == second.read_bytes()
    assert len(first.read_bytes()) > 1000


def test_a_figure_without_anything_to_show_is_left_out():
    empty, full = report_figure(None), report_figure(simple())
    assert list(draw_figures((empty, full), data=None)) == [full]


def test_the_style_leaves_matplotlib_as_it_was():
    before = dict(matplotlib.rcParams)
    simple()
    simple_svg()
    assert dict(matplotlib.rcParams) == before


def test_a_figure_can_be_had_as_a_pdf_within_the_page():
    kind, content = pdf_uri(simple(), "simple").split(",")
    assert kind == "data:application/pdf;base64"
    assert base64.b64decode(content).startswith(b"%PDF-")


def test_the_svg_in_the_page_is_small_and_keeps_every_word_and_line():
    figure = simple("loss of 0.123456")
    with style():
        kept = io.BytesIO()
        figure.savefig(kept, format="svg")
    whole, small = kept.getvalue().decode(), inline_svg(figure, "simple", "")
    assert len(small) < 0.7 * len(whole)
    assert "loss of 0.123456" in small
    assert small.count("<text") == whole.count("<text")
    assert len(re.findall("stroke: var", small)) >= 2
