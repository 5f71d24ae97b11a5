"""The curve of one class is scikit-learn's, and its mark is where the class is called."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from hpa_hier.evaluate.figures.class_curve import (
    ClassCurve,
    curve_svg,
    draw_class_curves,
    draw_frame,
    frame_svg,
    trace_curve,
)
from hpa_hier.evaluate.figures.figure import style
from hpa_hier.evaluate.results import Estimate

ROW = SimpleNamespace(positives=9, precision=Estimate(0.5, 0.25, 0.75), recall=Estimate(1.0, 0.5, 1.0))


def make(**changes: object) -> ClassCurve:
    curve = ClassCurve("Golgi apparatus", np.array([0.5, 1.0]), np.array([1.0, 0.5]), 0.2, ROW)
    return replace(curve, **changes)


@pytest.mark.parametrize("seed", range(4))
def test_every_point_is_one_of_scikit_learns_and_the_area_is_the_average_precision(seed):
    rng = np.random.default_rng(seed)
    scores, hits = rng.integers(0, 40, 200) / 40, rng.random(200) < 0.2
    recall, precision = trace_curve(scores, hits, most=1000)
    reference = precision_recall_curve(hits, scores)
    points = {(round(r, 9), round(p, 9)) for p, r in zip(*reference[:2], strict=True)}
    assert {(round(r, 9), round(p, 9)) for r, p in zip(recall, precision, strict=True)} <= points
    area = (np.diff(recall, prepend=0) * precision).sum()
    assert area == pytest.approx(average_precision_score(hits, scores))


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    hits = np.ones(5000, bool)
    recall, precision = trace_curve(np.linspace(1, 0, 5000), hits)
    assert len(recall) == len(precision) == 60
    assert (recall[0], recall[-1]) == (1 / 5000, 1)


def test_the_mark_is_where_precision_and_recall_are_in_the_frame():
    svg = curve_svg(make(), "frame", "a & b")
    axes = draw_frame().axes[0]
    figure = axes.get_figure()
    x, y = axes.transData.transform((1.0, 0.5)) * 72 / figure.dpi
    mark = re.search(r'class="at" d="M([\d.]+) ([\d.]+)l', svg)
    assert float(mark[1]) == pytest.approx(x, abs=0.06)
    assert float(mark[2]) + 4 == pytest.approx(72 * figure.get_figheight() - y, abs=0.06)


def test_the_curve_is_a_title_for_those_who_cannot_see_it_over_axes_with_names():
    root = ElementTree.fromstring(curve_svg(make(), "frame", "a & b"))
    assert root[0].text == "a & b"
    frame = frame_svg("frame")
    assert "recall" in frame
    assert "precision" in frame
    assert ElementTree.fromstring(frame.replace("xlink:", ""))[0].attrib["id"] == "frame"


def test_a_class_that_is_never_called_has_no_mark():
    absent = SimpleNamespace(positives=9, precision=Estimate(None), recall=Estimate(0.0, 0.0, 0.3))
    assert 'class="at"' not in curve_svg(make(row=absent), "frame", "")


def test_all_curves_are_one_figure_with_named_axes():
    with style():
        figure = draw_class_curves([make(), make(), make()])
    assert len(figure.axes) == 3
    assert {(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes} == {("recall", "precision")}
    assert draw_class_curves([]) is None
