"""Results in words: numbers with their signs, what was measured on, and the terminal's table."""

from __future__ import annotations

from dataclasses import replace

import pytest
from evaluated_run import make_run

from hpa_hier.evaluate.compute import compute_results
from hpa_hier.evaluate.describe import describe_scope, format_estimate, results_table
from hpa_hier.evaluate.results import Estimate
from hpa_hier.runs.run import Run
from hpa_hier.settings.recipe import ReportSettings


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return compute_results(
        Run.open(make_run(tmp_path_factory.mktemp("results"), count=120, size=16)).evaluation,
        ReportSettings(),
    )


def test_numbers_are_written_with_a_real_minus_and_zero_has_no_sign():
    estimate = Estimate(-0.0002, -0.0316, 0.02)
    assert format_estimate(estimate, signed=True) == "0.000 [−0.032, +0.020]"
    assert format_estimate(estimate, signed=True, digits=4) == "−0.0002 [−0.0316, +0.0200]"
    assert format_estimate(Estimate(None)) == "–"
    assert format_estimate(Estimate(0.5)) == "0.500"


def test_the_line_above_the_table_says_simulated_cells_and_names_split_and_positives(results):
    scope = results.scope
    line = describe_scope(scope)
    assert line.startswith("simulated cells, test part of split")
    assert scope.split_digest in line
    assert f"{scope.positives:,} positives" in line
    assert f"95 % intervals by {scope.units} units (antibodies, or near-duplicate images)" in line
    assert describe_scope(replace(scope, simulated=False)).startswith("real images")
    assert describe_scope(replace(scope, units=scope.samples)).endswith("95 % intervals")


def test_the_table_has_a_row_for_each_metric_in_straight_columns(results):
    lines = results_table(results).splitlines()
    assert lines[0] == describe_scope(results.scope)
    assert lines[1].split("  ")[-1].strip() == "always the same labels"
    (macro,) = (line for line in lines if line.startswith("macro F1 "))
    assert format_estimate(results.row("macro_f1").ensemble) in macro
    assert format_estimate(results.row("macro_f1").others["trivial"].estimate) in macro
    (edges,) = (line for line in lines if line.startswith("edges inverted, before"))
    assert macro.index("0.") == edges.index("0.") == lines[1].index("hierarchical")
    assert "no positives, left out of means over classes" in lines[-1]


def test_where_the_flat_ensemble_answers_it_is_shown_once(results):
    fell_back = replace(results, scope=replace(results.scope, uses_baseline=True))
    heading = results_table(fell_back).splitlines()[1]
    assert " ".join(heading.split()) == "flat ensemble always the same labels"


def test_a_run_without_baselines_has_no_columns_for_them(results):
    rows = tuple(replace(row, others={}) for row in results.headline)
    levels = tuple(
        replace(level, **{key: replace(getattr(level, key), others={}) for key in ("f1", "ap", "top")})
        for level in results.levels
    )
    table = results_table(replace(results, headline=rows, levels=levels))
    assert table.splitlines()[1].strip() == "hierarchical ensemble"
