"""The table of figures: every row names a section, and a new figure is one file and one row."""

from __future__ import annotations

import pytest
from evaluated_run import make_run
from matplotlib.figure import Figure

from hpa_hier.evaluate import report
from hpa_hier.evaluate.figures.figure import ReportData, ReportFigure, new_figure
from hpa_hier.evaluate.figures.table import FIGURES
from hpa_hier.evaluate.report import SECTIONS, write_report
from hpa_hier.runs.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"), count=120, size=16)


def draw_sizes(data: ReportData) -> Figure:
    figure = new_figure(2.0)
    figure.add_subplot().bar([row.node for row in data.results.nodes], [row.positives for row in data.results.nodes])
    return figure


SIZES = ReportFigure("sizes", "tree", draw_sizes, lambda data: f"Positives of {len(data.results.nodes)} nodes")


def test_every_figure_has_a_name_of_its_own_and_a_section_of_the_page():
    assert len({one.name for one in FIGURES}) == len(FIGURES)
    assert {one.section for one in FIGURES} <= SECTIONS.keys()


@pytest.mark.parametrize("section", SECTIONS)
def test_a_new_figure_is_one_row_and_appears_in_its_section_and_as_a_file(run, monkeypatch, section):
    new = ReportFigure(SIZES.name, section, SIZES.draw, SIZES.describe)
    monkeypatch.setattr(report, "FIGURES", (new,))
    page, file = write_report(Run.open(run, sets=["report.bootstrap=0", "report.gallery=0"]), figures="svg")
    assert file == run / "report" / "figures" / "sizes.svg"
    text = page.read_text(encoding="utf-8")
    part = text[text.index(f'<section id="{section}">') :]
    assert "<title>Positives of 44 nodes</title>" in part[: part.index("</section>")]
