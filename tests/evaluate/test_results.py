"""The results' file is plain JSON and is read back as it was."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from evaluated_run import make_run

from hpa_hier.errors import UserError
from hpa_hier.evaluate.compute import compute_results
from hpa_hier.evaluate.results import read_results, write_results
from hpa_hier.runs.evaluation import EvaluationFacts
from hpa_hier.runs.run import Run
from hpa_hier.settings.recipe import ReportSettings


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return compute_results(
        Run.open(make_run(tmp_path_factory.mktemp("results"), count=120, size=16)).evaluation,
        ReportSettings(),
    )


def test_results_are_read_back_as_they_were_written(results, tmp_path):
    path = write_results(tmp_path, results)
    assert path == tmp_path / "results.json"
    json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)  # no NaN, no Infinity
    assert read_results(tmp_path) == results


def test_results_of_an_evaluation_that_another_command_replaced_or_removed_are_not_written(results, tmp_path):
    facts = EvaluationFacts(arrays_sha256=sha256(b"these").hexdigest())
    for content, what in ((b"those", "replaced"), (None, "removed")):
        (tmp_path / "evaluation.npz").write_bytes(content) if content else (tmp_path / "evaluation.npz").unlink()
        with pytest.raises(UserError, match=rf"evaluation\.npz: was {what} by another command meanwhile; give this"):
            write_results(tmp_path, results, facts)
        assert not (tmp_path / "results.json").exists()
    (tmp_path / "evaluation.npz").write_bytes(b"these")
    assert write_results(tmp_path, results, facts).is_file()


def test_results_that_are_absent_old_or_damaged_are_refused_with_the_command(tmp_path):
    folder = tmp_path / "demo" / "ensemble"
    folder.mkdir(parents=True)
    evaluate = r"run: python -m hpa_hier\.ensemble evaluate --run .*demo"
    with pytest.raises(UserError, match=rf"results\.json: no such file; {evaluate}"):
        read_results(folder)
    (folder / "figures.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"no such file \(figures\.json is of an older version and is not read\)"):
        read_results(folder)
    (folder / "results.json").write_text('{"scope": 3}', encoding="utf-8")
    with pytest.raises(UserError, match=rf"results\.json: is damaged \(scope: .*\); {evaluate}"):
        read_results(folder)
