"""Precision and recall: one row a class, nothing where they are not defined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from evaluated_run import make_run

from hpa_hier.evaluate.compute import compute_results
from hpa_hier.evaluate.figures.precision_recall import draw_precision_recall, leaves_by_support
from hpa_hier.evaluate.results import Estimate
from hpa_hier.runs.run import Run
from hpa_hier.settings.recipe import ReportSettings


def test_points_are_the_classes_in_order_of_support_and_undefined_ones_are_left_out(tmp_path):
    evaluation = Run.open(make_run(tmp_path, count=120, size=16)).evaluation
    rows = leaves_by_support(compute_results(evaluation, ReportSettings()).nodes)
    assert [row.positives for row in rows] == sorted((row.positives for row in rows), reverse=True)
    axes = draw_precision_recall(rows).axes[0]
    recall = axes.lines[1].get_xdata()
    wanted = [np.nan if row.recall.value is None else row.recall.value for row in rows]
    np.testing.assert_array_equal(recall, wanted)
    assert np.isnan(wanted).any()
    nothing = replace(rows[-1], node="never there, never predicted", precision=Estimate(None), recall=Estimate(None))
    labels = [text.get_text() for text in draw_precision_recall([*rows, nothing]).axes[0].get_yticklabels()]
    assert len(labels) == len(rows)
