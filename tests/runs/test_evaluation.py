"""An evaluation is read back whole, or refused with the command that makes it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from evaluated_run import make_run

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, sha256
from hpa_hier.runs.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("evaluation"), count=240, size=16)


def test_the_baseline_of_old_files_is_read_under_its_old_names(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run" / "ensemble" / "evaluation.npz"
    arrays = dict(np.load(file, allow_pickle=False))
    renamed = {name.replace("flat_", "baseline_"): array for name, array in arrays.items()}
    assert renamed.keys() != arrays.keys()
    np.savez(file, **renamed)
    np.testing.assert_array_equal(
        Run.open(tmp_path / "run").evaluation.baseline.probs, Run.open(run).evaluation.baseline.probs
    )


def test_the_columns_of_the_file_may_come_in_any_order(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    file = copy / "ensemble" / "evaluation.npz"
    arrays = dict(np.load(file, allow_pickle=False))
    turned = {
        name: array[..., ::-1] if array.shape[-1:] == (len(arrays["nodes"]),) and name != "member_names" else array
        for name, array in arrays.items()
    }
    np.savez(file, **turned)
    np.testing.assert_array_equal(Run.open(copy).evaluation.ensemble.probs, Run.open(run).evaluation.ensemble.probs)


def test_a_run_that_was_not_evaluated_says_which_command_does_it(tmp_path):
    (tmp_path / "ensemble").mkdir()
    with pytest.raises(UserError, match=r"no evaluation yet; run: python -m hpa_hier\.ensemble evaluate"):
        _ = Run.open(tmp_path).evaluation


def test_a_file_that_is_no_evaluation_is_refused_with_its_name(tmp_path):
    (tmp_path / "ensemble").mkdir()
    (tmp_path / "ensemble" / "evaluation.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(UserError, match=r"evaluation\.npz: not an evaluation"):
        _ = Run.open(tmp_path).evaluation


def test_an_evaluation_that_lacks_a_node_of_the_taxonomy_is_refused(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    file = copy / "ensemble" / "evaluation.npz"
    arrays = dict(np.load(file, allow_pickle=False))
    arrays["nodes"] = np.array(["Nucleolus" if node == "Nucleus" else node for node in arrays["nodes"]])
    np.savez(file, **arrays)
    with pytest.raises(UserError, match="no column for node 'Nucleus'"):
        _ = Run.open(copy).evaluation


def test_an_array_of_another_shape_is_refused(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    file = copy / "ensemble" / "evaluation.npz"
    arrays = dict(np.load(file, allow_pickle=False))
    arrays["probs"] = arrays["probs"][:-1]
    np.savez(file, **arrays)
    with pytest.raises(UserError, match=r"'probs' has shape \(\d+, 44\), but ids × nodes are"):
        _ = Run.open(copy).evaluation


def test_an_evaluation_of_another_ensemble_is_refused(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    folder = tmp_path / "run" / "ensemble"
    (folder / "ensemble.json").write_text("{}")
    facts = read_json(folder / "evaluation.json")
    (folder / "evaluation.json").write_text(json.dumps(facts | {"ensemble_sha256": "0" * 64}))
    with pytest.raises(
        UserError, match=r"evaluation\.npz: belongs to another ensemble than ensemble\.json; run: python -m hpa"
    ):
        _ = Run.open(tmp_path / "run").evaluation
    (folder / "evaluation.json").write_text(json.dumps(facts | {"ensemble_sha256": sha256(folder / "ensemble.json")}))
    assert Run.open(tmp_path / "run").evaluation.ids == Run.open(run).evaluation.ids


def test_facts_that_name_nothing_that_was_evaluated_are_refused(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "ensemble" / "evaluation.json").write_text('{"format": 4}')
    with pytest.raises(UserError, match=r"evaluation\.json: is damaged \(it does not name the part .*; run: python -m"):
        _ = Run.open(tmp_path / "run").evaluation
