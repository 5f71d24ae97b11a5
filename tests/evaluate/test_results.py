"""Figures of a run: that they agree with the metrics, carry their intervals, and say what they were measured on."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from evaluated_run import make_run
from sklearn.metrics import average_precision_score, f1_score

from hpa_hier.errors import UserError
from hpa_hier.evaluate.evaluation import read_evaluation
from hpa_hier.evaluate.results import context, figures_of, shown, table
from hpa_hier.files.atomic import sha256
from hpa_hier.settings.recipe import ReportSettings

FEW = ReportSettings(bootstrap=60, gallery=3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("figures"), count=240, size=16)


@pytest.fixture(scope="module")
def figures(run):
    return figures_of(run, FEW)


def _line(figures, key):
    return next(line for line in figures["headline"] if line["key"] == key)


def test_the_headline_is_what_scikit_learn_finds_on_the_leaves(run, figures):
    evaluation = read_evaluation(run)
    leaves = evaluation.leaf_columns
    targets = evaluation.targets[:, leaves]
    some = targets.any(axis=0)
    for system, answers in (("ensemble", evaluation.ensemble), ("flat", evaluation.flat)):
        present, probs = answers.present[:, leaves], answers.probs[:, leaves]
        expected = f1_score(targets[:, some], present[:, some], average="macro", zero_division=0)
        assert _line(figures, "macro_f1")[system]["value"] == pytest.approx(expected)
        expected = average_precision_score(targets[:, some], probs[:, some], average="macro")
        assert _line(figures, "mean_ap")[system]["value"] == pytest.approx(expected)


def test_every_headline_figure_lies_in_its_interval_and_has_its_peer_and_difference(figures):
    for line in figures["headline"]:
        for system in ("ensemble", "flat"):
            value = line[system]
            assert 0 <= value["low"] <= value["value"] <= value["high"] <= 1
        change = line["difference"]
        assert change["value"] == pytest.approx(line["ensemble"]["value"] - line["flat"]["value"])
        assert (line["verdict"] == "not told apart") == (change["low"] <= 0 <= change["high"])


def test_numbers_are_written_with_a_real_minus_and_nothing_has_no_sign():
    figure = {"value": -0.0002, "low": -0.0316, "high": 0.02}
    assert shown(figure, signed=True) == "0.000 [−0.032, +0.020]"
    assert shown(figure, signed=True, digits=4) == "−0.0002 [−0.0316, +0.0200]"
    assert shown({"value": None, "low": None, "high": None}) == "–"


def test_a_system_compared_with_itself_differs_by_exactly_nothing(run):
    from dataclasses import replace

    evaluation = read_evaluation(run)
    figures = figures_of(replace(evaluation, flat=evaluation.ensemble), FEW)
    for line in figures["headline"]:
        assert line["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
        assert line["verdict"] == "not told apart"


def test_lifting_and_closing_leave_no_violation(figures):
    found = figures["coherence"]["ensemble"]
    assert found["edges_before"]["value"] > 0
    assert found["samples_before"]["value"] > 0
    assert found["edges_after"] == found["samples_after"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_classes_without_positives_are_named_and_have_no_figure(figures):
    left_out = figures["what"]["left_out"]
    assert left_out
    rows = {row["node"]: row for row in figures["nodes"]}
    for leaf in left_out:
        assert rows[leaf]["positives"] == 0
        assert rows[leaf]["f1"]["value"] is None
        assert rows[leaf]["ap"]["value"] is None


def test_a_rare_class_that_was_found_every_time_is_still_uncertain(figures):
    found = [row for row in figures["nodes"] if row["leaf"] and 0 < row["positives"] < 10 and row["fn"] == 0]
    assert found
    for row in found:
        assert row["recall"]["value"] == row["recall"]["high"] == 1
        assert row["recall"]["low"] < 0.8


def test_counts_of_a_node_add_up_to_the_samples(figures):
    for row in figures["nodes"]:
        assert row["tp"] + row["fp"] + row["fn"] + row["tn"] == figures["what"]["samples"]
        assert row["tp"] + row["fn"] == row["positives"]


def test_the_same_seed_gives_the_same_figures_and_another_seed_other_intervals(run, figures):
    assert figures_of(run, FEW) == figures
    other = figures_of(run, FEW.model_copy(update={"seed": 1}))
    assert _line(other, "macro_f1")["ensemble"]["value"] == _line(figures, "macro_f1")["ensemble"]["value"]
    assert _line(other, "macro_f1")["ensemble"]["low"] != _line(figures, "macro_f1")["ensemble"]["low"]


def test_the_line_above_the_table_calls_simulated_cells_simulated_and_names_split_and_positives(figures):
    what = figures["what"]
    line = context(what)
    assert "simulated cells" in line
    assert what["split_digest"] in line
    assert f"{what['positives']:,} positives" in line
    assert table(figures).splitlines()[0] == line
    assert "flat ensemble" in table(figures).splitlines()[1]
    assert context(what | {"simulated": False}).startswith("real images")


def test_figures_are_plain_json(figures):
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_without_resamples_there_are_figures_but_no_intervals(run):
    figures = figures_of(run, FEW.model_copy(update={"bootstrap": 0}))
    macro = _line(figures, "macro_f1")
    assert macro["ensemble"]["low"] is None
    assert macro["verdict"] is None
    assert shown(macro["ensemble"]).count("[") == 0


def test_a_run_without_a_flat_peer_has_figures_and_no_difference(tmp_path):
    figures = figures_of(make_run(tmp_path, count=120, size=16, flat=False), FEW)
    assert _line(figures, "macro_f1")["flat"] is None
    assert _line(figures, "macro_f1")["difference"] is None
    assert "–" in table(figures)


def test_an_evaluation_is_found_from_the_run_its_ensemble_folder_or_the_file(run):
    paths = (run, run / "ensemble", run / "ensemble" / "evaluation.npz")
    assert len({read_evaluation(path).ids for path in paths}) == 1


def test_the_columns_of_the_file_may_stand_in_any_order(run, tmp_path):
    import shutil

    copy = shutil.copytree(run, tmp_path / "run")
    file = copy / "ensemble" / "evaluation.npz"
    arrays = dict(np.load(file, allow_pickle=False))
    turned = {
        name: array[..., ::-1] if array.shape[-1:] == (len(arrays["nodes"]),) and name != "member_names" else array
        for name, array in arrays.items()
    }
    np.savez(file, **turned)
    np.testing.assert_array_equal(read_evaluation(copy).ensemble.probs, read_evaluation(run).ensemble.probs)


def test_a_run_that_was_not_evaluated_says_which_command_does_it(tmp_path):
    with pytest.raises(UserError, match=r"no evaluation yet; run: python -m hpa_hier\.ensemble evaluate"):
        read_evaluation(tmp_path)


def test_a_file_that_is_no_evaluation_is_refused_with_its_name(tmp_path):
    (tmp_path / "ensemble").mkdir()
    (tmp_path / "ensemble" / "evaluation.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(UserError, match=r"evaluation\.npz: not an evaluation"):
        read_evaluation(tmp_path)


def test_an_evaluation_that_lacks_a_node_of_the_taxonomy_is_refused(run, tmp_path):
    import shutil

    copy = shutil.copytree(run, tmp_path / "run")
    file = copy / "ensemble" / "evaluation.npz"
    arrays = dict(np.load(file, allow_pickle=False))
    arrays["nodes"] = np.array(["Nucleolus" if node == "Nucleus" else node for node in arrays["nodes"]])
    np.savez(file, **arrays)
    with pytest.raises(UserError, match="no column for node 'Nucleus'"):
        read_evaluation(copy)


def test_an_array_of_another_shape_is_refused(run, tmp_path):
    import shutil

    copy = shutil.copytree(run, tmp_path / "run")
    file = copy / "ensemble" / "evaluation.npz"
    arrays = dict(np.load(file, allow_pickle=False))
    arrays["probs"] = arrays["probs"][:-1]
    np.savez(file, **arrays)
    with pytest.raises(UserError, match=r"'probs' has shape \(\d+, 44\), but ids × nodes are"):
        read_evaluation(copy)


def test_units_are_counted_as_they_are_resampled(run, figures, tmp_path):
    assert figures["what"]["units"] == len(set(read_evaluation(run).groups))
    assert f"resamples of {figures['what']['units']} units (antibodies, or images alike)" in context(figures["what"])
    for name in ("ensemble", "taxonomy.yaml"):
        (tmp_path / name).symlink_to(run / name)
    assert "resamples of images" in context(figures_of(tmp_path, FEW)["what"])


def test_an_evaluation_of_another_ensemble_is_refused(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    folder = tmp_path / "run" / "ensemble"
    (folder / "ensemble.json").write_text("{}")
    facts = json.loads((folder / "evaluation.json").read_text())
    (folder / "evaluation.json").write_text(json.dumps(facts | {"ensemble_sha256": "0" * 64}))
    with pytest.raises(
        UserError, match=r"evaluation\.npz: of another ensemble than ensemble\.json; run: python -m hpa"
    ):
        read_evaluation(tmp_path / "run")
    (folder / "evaluation.json").write_text(json.dumps(facts | {"ensemble_sha256": sha256(folder / "ensemble.json")}))
    assert read_evaluation(tmp_path / "run").ids == read_evaluation(run).ids


def test_an_ensemble_that_fell_back_to_the_flat_mean_says_so(run, tmp_path, figures):
    assert not figures["what"]["fell_back"]
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / "ensemble" / "evaluation.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"members": facts["flat_members"], "acceptance": {"accepted": False}}))
    found = figures_of(tmp_path / "run", FEW)
    assert "so the flat mean answers: both columns are its" in table(found)
