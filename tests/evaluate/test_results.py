"""The results' file is plain JSON, is read back as it was, and that of older runs too."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from evaluated_run import make_run

from hpa_hier.errors import UserError
from hpa_hier.evaluate.compute import compute_results
from hpa_hier.evaluate.results import read_results, write_results
from hpa_hier.runs.run import Run
from hpa_hier.settings.recipe import ReportSettings


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return compute_results(
        Run.open(make_run(tmp_path_factory.mktemp("results"), count=120, size=16)).evaluation,
        ReportSettings(bootstrap=9),
    )


def test_results_are_read_back_as_they_were_written(results, tmp_path):
    path = write_results(tmp_path, results)
    assert path == tmp_path / "results.json"
    json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)  # no NaN, no Infinity
    assert read_results(tmp_path) == results


def test_the_figures_file_of_an_older_run_is_still_read(results, tmp_path):
    old = asdict(results)
    levels = [
        row | {"name": one["name"], "nodes": one["nodes"]} for one in old["levels"] for row in (one["f1"], one["ap"])
    ]
    text = json.dumps(old | {"levels": levels})
    text = (
        text.replace('"scope":', '"what":')
        .replace('"baseline":', '"flat":')
        .replace('"uses_baseline":', '"fell_back":')
    )
    text = text.replace('"baseline_members":', '"flat_members":').replace("no clear difference", "not told apart")
    (tmp_path / "figures.json").write_text(text, encoding="utf-8")
    found = read_results(tmp_path)
    assert found.headline == results.headline
    assert found.scope == results.scope
    assert found.nodes == results.nodes
    assert [one.f1.ensemble for one in found.levels] == [one.f1.ensemble for one in results.levels]


def test_results_that_are_absent_or_damaged_are_refused_with_the_command(tmp_path):
    with pytest.raises(UserError, match=r"results\.json: no such file; run: python -m hpa_hier\.ensemble evaluate"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text('{"scope": 3}', encoding="utf-8")
    with pytest.raises(UserError, match=r"results\.json: not a results file \(.*run `ensemble evaluate` again"):
        read_results(tmp_path)
