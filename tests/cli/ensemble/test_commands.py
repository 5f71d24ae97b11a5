"""The commands on a run whose members' scores are drawn: fit, evaluate, predict, explain."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ensemble_run import MeanOfPixels, SmallRun, write_images

from hpa_hier.cli.ensemble import main
from hpa_hier.data.split.split import Split, write_split
from hpa_hier.ensemble import ensemble_file as keep
from hpa_hier.ensemble.decide.safe import SafeAnswers
from hpa_hier.ensemble.ensemble import Prediction
from hpa_hier.ensemble.fit import fit
from hpa_hier.ensemble.scores.scores import Scores
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, write_text
from hpa_hier.files.shell import run_name
from hpa_hier.files.tables import safe_cell
from hpa_hier.predict import fit_run as held_out
from hpa_hier.predict import predictor
from hpa_hier.predict.answers import Answers
from hpa_hier.predict.fit_run import evaluate_run, fit_run
from hpa_hier.predict.inputs import InputSpec
from hpa_hier.predict.tables import open_tables
from hpa_hier.runs.find import find_newest
from hpa_hier.runs.run import Run
from hpa_hier.settings.recipe import EnsembleSettings, SplitSettings
from hpa_hier.settings.recipe_file import recipe_yaml
from hpa_hier.taxonomy import Taxonomy


@pytest.fixture
def small(tmp_path, monkeypatch) -> SmallRun:
    run = SmallRun(tmp_path)
    write_text(run.folder / "config.yaml", recipe_yaml(run.recipe))
    monkeypatch.chdir(tmp_path)
    scorers = {name: MeanOfPixels(scores) for name, scores in run.members.items()}
    monkeypatch.setattr(
        predictor,
        "load_scorers",
        lambda run, ensemble, device, engine: {member.name: scorers[member.name] for member in ensemble.members},
    )
    return run


# fit


def test_settings_of_an_ensemble_come_too_late_for_predict(small, tmp_path):
    fit_run(small.run)
    write_images(tmp_path / "new", 2)
    words = ["predict", "--run", "small", "--images", str(tmp_path / "new"), "--out", str(tmp_path / "out")]
    with pytest.raises(
        UserError, match=r"--set ensemble\.thresholds=fixed: an ensemble answers as it was fitted; fit it"
    ):
        main([*words, "--set", "ensemble.thresholds=fixed"])
    assert not (tmp_path / "out").exists()


def test_what_the_split_joined_is_not_parted_in_fitting(small, monkeypatch):
    ids = np.array(small.truth.ids)
    twins = ids[small.parts == "calibration"][:2]
    groups = ["pixels-1" if sample in twins else "" for sample in ids]
    write_split(small.folder / "split.csv", Split(tuple(ids), tuple(small.parts), groups, (-1,) * 90), SplitSettings())
    seen = []
    accepted = held_out.fit_accepted

    def watched(ours, *rest):
        seen.append(dict(zip(ours.truth.ids, ours.units, strict=True)))
        return accepted(ours, *rest)

    monkeypatch.setattr(held_out, "fit_accepted", watched)
    fit_run(small.run)
    assert {sample for sample, unit in seen[0].items() if unit == "pixels-1"} == set(twins)


def test_fit_reads_the_calibration_part_only(small):
    ensemble, flat = fit_run(small.run)
    assert [member.name for member in ensemble.members] == ["coarse", "leaf", "majority", "minority"]
    assert [member.name for member in flat.members] == ["leaf", "leaf-s1"]
    held = small.parts == "calibration"
    ids = np.array(small.truth.ids)[held]
    members = [small.members[member.name].take(list(ids)) for member in ensemble.members]
    alone = fit(
        [replace(m, logits=np.float32(m.logits)) for m in members],
        truth_of(small),
        small.taxonomy,
        small.recipe.ensemble,
    )
    assert ensemble.thresholds.values.tobytes() == alone.thresholds.values.tobytes()
    assert ensemble.about["samples"] == 30


def test_a_kept_ensemble_predicts_the_same_to_the_last_bit(small):
    ensemble, _ = fit_run(small.run)
    again = keep.load(small.folder / "ensemble")
    members = [small.members[member.name] for member in ensemble.members]
    one, other = ensemble.predict(members), again.predict(members)
    assert one.probs.tobytes() == other.probs.tobytes()
    assert (one.present == other.present).all()
    assert again.about == ensemble.about


def test_a_broken_ensemble_file_is_a_users_error(small):
    fit_run(small.run)
    path = small.folder / "ensemble" / "ensemble.json"
    content = read_json(path)
    for broken, message in (
        ({**content, "format": 0}, "not an ensemble of format 4; fit it again"),
        ({**content, "thresholds": {}}, "thresholds for other nodes than the taxonomy's, such as 'Centrosome'"),
        (
            {key: content[key] for key in content if key != "members"},
            "ensemble.json: members: Field required; fit it again",
        ),
        ([], "ensemble.json: holds a list, where an object belongs"),
        (
            {**content, "aggregate": {"rule": "meen"}},
            "there is no 'meen'; choose .* did you mean 'mean'.* fit it again",
        ),
    ):
        path.write_text(json.dumps(broken))
        with pytest.raises(UserError, match=message):
            keep.load(small.folder / "ensemble")


def test_a_member_that_is_not_trained_is_named(small):
    shutil.rmtree(small.folder / "members" / "leaf-s1")
    with pytest.raises(UserError, match="1 of 2 members are not trained: leaf-s1; train them"):
        fit_run(small.run)


def test_members_of_different_splits_are_refused(small):
    small.write_member("minority", split_digest="0000000000000000")
    with pytest.raises(UserError, match="'coarse' and 'minority' differ in split_digest"):
        fit_run(small.run)


def test_scores_that_were_changed_after_training_are_refused(small):
    path = small.folder / "members" / "leaf" / "scores.npz"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(UserError, match=r"does not match the checksum in member\.json"):
        fit_run(small.run)


def test_a_moved_leaf_makes_fit_print_the_commands_that_retrain_just_those(small):
    text = small.file.read_text().replace("    Nuclear speckles: {label: 4}\n", "")
    write_text(small.file, text + "    Nuclear speckles: {label: 4}\n")
    with pytest.raises(UserError, match="'coarse'") as caught:
        fit_run(small.run)
    assert f"python -m hpa_hier.train --member coarse --run {run_name(small.folder)} --restart" in str(caught.value)
    assert "--partition" not in str(caught.value)


def test_a_renamed_leaf_is_followed(small):
    write_text(small.file, small.file.read_text().replace("Nuclear speckles:", "Speckles:"))
    ensemble, _ = fit_run(small.run)
    leaf = next(member for member in ensemble.members if member.name == "leaf")
    assert leaf.renamed == {"Nuclear speckles": "Speckles"}
    assert "Speckles" in ensemble.combiner.calibrations["leaf"].nodes


# evaluate


def test_the_trivial_baseline_is_chosen_on_the_calibration_part_alone(small, monkeypatch):
    fit_run(small.run)

    def kept() -> tuple[list[bool], list[float]]:
        with np.load(evaluate_run(small.run), allow_pickle=False) as stored:
            return stored["trivial_present"].tolist(), stored["trivial_probs"].tolist()

    truth = small.run.truth(small.taxonomy)
    part = dict(zip(small.truth.ids, small.parts, strict=True))

    def turn_round(changed: str) -> None:
        rows = np.array([part[name] == changed for name in truth.ids])
        other = replace(truth, present=np.where(rows[:, None], ~truth.present, truth.present))
        monkeypatch.setattr(Run, "truth", lambda run, taxonomy: other)

    before = kept()
    for changed in ("test", "train"):
        turn_round(changed)
        assert kept() == before
    turn_round("calibration")
    assert kept()[0] != before[0]


def test_evaluation_holds_the_test_part_of_both(small):
    fit_run(small.run)
    path = evaluate_run(small.run)
    with np.load(path, allow_pickle=False) as stored:
        assert set(stored["ids"]) == set(np.array(small.truth.ids)[small.parts == "test"])
        shape = (30, len(small.taxonomy.nodes))
        for name in (
            "targets",
            "known",
            "raw",
            "probs",
            "present",
            "baseline_raw",
            "baseline_probs",
            "baseline_present",
        ):
            assert stored[name].shape == shape
        assert tuple(stored["nodes"]) == small.taxonomy.nodes
        assert stored["thresholds"].shape == shape[1:]
    facts = read_json(path.with_suffix(".json"))
    assert facts["part"] == "test"
    assert facts["simulated"] is True
    assert facts["members"]["coarse"]["nodes"] == 2
    assert list(facts["baseline_members"]) == ["leaf", "leaf-s1"]


def test_evaluation_refuses_a_member_trained_again_since(small):
    fit_run(small.run)
    small.write_member("leaf", seconds=9.0)
    with pytest.raises(UserError, match="leaf: was trained again after the ensemble was fitted; fit it again"):
        evaluate_run(small.run)


def test_fitting_another_ensemble_removes_the_evaluation_of_the_last(small):
    fit_run(small.run)
    path = evaluate_run(small.run)
    fit_run(small.run)
    assert path.exists()
    changed = small.recipe.ensemble.model_copy(update={"aggregate": "concat"})
    fit_run(Run(small.folder, small.recipe.model_copy(update={"ensemble": changed})))
    assert not path.exists()


def test_evaluation_before_fitting_says_what_to_do(small):
    with pytest.raises(UserError, match=r"ensemble\.json: no such file; fit the ensemble: .* fit --run small"):
        evaluate_run(small.run)


# predict


def predict(small: SmallRun, out: str, *more: str) -> int:
    return main(["predict", "--run", "small", "--images", "images", "--out", out, *more])


def rows(path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_predictions_are_for_people_and_probabilities_have_a_column_a_node(small, tmp_path):
    fit_run(small.run)
    write_images(tmp_path / "images", 9)
    assert predict(small, "out") == 0
    table, probs = (rows(tmp_path / "out" / f"{name}.csv") for name in ("predictions", "probabilities"))
    assert [row["id"] for row in table] == [row["id"] for row in probs] == [f"image-{i:02d}" for i in range(9)]
    places = ["place_1", "prob_1", "place_2", "prob_2", "place_3", "prob_3"]
    assert list(table[0]) == ["id", *places, "labels", "groups", "safe", "warning", "file"]
    assert list(probs[0]) == ["id", *small.taxonomy.nodes]
    submission = {row["Id"]: row["Predicted"].split() for row in rows(tmp_path / "out" / "submission.csv")}
    for row, prob in zip(table, probs, strict=True):
        labels = [name for name in row["labels"].split("|") if name in small.taxonomy.leaves]
        assert submission[row["id"]] == sorted(map(small.taxonomy.label, labels or [row["place_1"]]), key=int)
        for name in labels:
            assert set(small.taxonomy.ancestors(name)) <= set(row["groups"].split("|"))
        for node in small.taxonomy.nodes:
            assert all(float(prob[node]) <= float(prob[above]) for above in small.taxonomy.ancestors(node))
        best = sorted(small.taxonomy.leaves, key=lambda leaf: -float(prob[leaf]))[:3]
        assert [row[f"place_{rank}"] for rank in (1, 2, 3)] == best
        assert [float(row[f"prob_{rank}"]) for rank in (1, 2, 3)] == [round(float(prob[leaf]), 3) for leaf in best]
        assert row["file"] == f"images/{row['id']}_green.png"


def test_the_answer_does_not_depend_on_the_batch_or_the_threads(small, tmp_path):
    fit_run(small.run)
    write_images(tmp_path / "images", 11)
    for out, size, threads in (("a", 1, 1), ("b", 4, 3), ("c", 64, 2)):
        predict(small, out, "--batch-size", str(size), "--threads", str(threads))
    for name in ("predictions.csv", "probabilities.csv", "submission.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "c" / name).read_bytes()


def test_an_image_gets_the_same_row_alone_and_among_others(small, tmp_path):
    fit_run(small.run)
    write_images(tmp_path / "images", 5)
    predict(small, "all")
    for path in (tmp_path / "images").glob("image-0[0124]*"):
        path.unlink()
    predict(small, "one")
    for name in ("predictions.csv", "probabilities.csv"):
        assert rows(tmp_path / "one" / name) == rows(tmp_path / "all" / name)[3:4]


def test_images_that_cannot_be_read_are_listed_and_the_rest_is_predicted(small, tmp_path, capsys):
    fit_run(small.run)
    write_images(tmp_path / "images", 4)
    (tmp_path / "images" / "image-01_green.png").write_bytes(b"")
    (tmp_path / "images" / "image-02_yellow.png").unlink()
    assert predict(small, "out") == 1
    assert "2 images in" in capsys.readouterr().out
    assert [row["id"] for row in rows(tmp_path / "out" / "predictions.csv")] == ["image-00", "image-03"]
    rejected = rows(tmp_path / "out" / "rejected.csv")
    assert [row["id"] for row in rejected] == ["image-01", "image-02"]
    assert "yellow of image-02 is missing" in rejected[1]["reason"]


def test_on_problem_stop_writes_nothing(small, tmp_path):
    fit_run(small.run)
    write_images(tmp_path / "images", 4)
    (tmp_path / "images" / "image-01_green.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"image-01_green\.png"):
        predict(small, "out", "--on-problem", "stop")
    assert not list((tmp_path / "out").glob("*") if (tmp_path / "out").exists() else [])


def test_a_folder_without_a_readable_image_writes_nothing(small, tmp_path):
    fit_run(small.run)
    write_images(tmp_path / "images", 2, ("red", "green", "blue"))
    with pytest.raises(UserError, match="none of 2 images can be predicted; first: image-00"):
        predict(small, "out")
    assert not any((tmp_path / "out").iterdir())


def test_a_missing_channel_is_zeros_where_the_flag_allows_it_and_is_said(small, tmp_path, capsys):
    fit_run(small.run)
    write_images(tmp_path / "images", 2, ("red", "green", "blue"))
    assert predict(small, "out", "--may-be-missing", "yellow") == 0
    assert all("no yellow (zeros)" in row["warning"] for row in rows(tmp_path / "out" / "predictions.csv"))
    with pytest.raises(UserError, match="--may-be-missing red: the members know the channels green, blue"):
        InputSpec("images", ("green", "blue"), 16, "depth").allowed(["red"])
    with pytest.raises(SystemExit):
        predict(small, "other", "--may-be-missing", "pink")
    assert "'pink' is no channel; the channels are red, green, blue, yellow" in capsys.readouterr().err


def test_results_that_are_there_are_not_replaced_unasked(small, tmp_path):
    fit_run(small.run)
    write_images(tmp_path / "images", 2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "submission.csv").write_text("mine")
    with pytest.raises(UserError, match=r"submission\.csv: exists already; name another folder"):
        predict(small, "out")
    assert (tmp_path / "out" / "submission.csv").read_text() == "mine"
    assert predict(small, "out", "--overwrite") == 0
    assert len(rows(tmp_path / "out" / "submission.csv")) == 2


def test_a_crash_leaves_no_half_table(small, tmp_path):
    def crash() -> None:
        with open_tables(tmp_path / "out", small.taxonomy) as tables:
            tables.reject([("a", "b", "c")])
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        crash()
    assert not any((tmp_path / "out").iterdir())


def test_a_folder_that_cannot_be_made_is_a_users_error(small, tmp_path):
    fit_run(small.run)
    write_images(tmp_path / "images", 1)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"file: is a file; --out names a folder"):
        predict(small, "file")
    with pytest.raises(UserError, match=r"file/below: cannot be written to \((Not a directory|File exists)\)"):
        predict(small, "file/below")


def test_without_a_run_simulated_cells_are_answered_by_the_ensemble_fitted_last(small, tmp_path, capsys):
    fit_run(small.run)
    other = shutil.copytree(small.folder, tmp_path / "artifacts" / "later")
    time.sleep(0.02)
    (other / "ensemble" / "ensemble.json").touch()
    assert find_newest(tmp_path / "artifacts").name == "later"
    write_images(tmp_path / "images", 1)
    (tmp_path / "images" / "simulated.json").write_text("{}")
    main(["predict", "--images", "images", "--out", "out"])
    printed = capsys.readouterr().out
    assert "using the ensemble fitted last: artifacts/later" in printed
    assert "caution: the networks learned from simulated cells only; do not rely on the answers" in printed
    assert rows(tmp_path / "out" / "predictions.csv")[0]["safe"] != ""


def test_an_ensemble_of_simulated_cells_has_no_safe_answer_for_real_images(small, tmp_path, capsys):
    fit_run(small.run)
    write_images(tmp_path / "images", 2)
    assert predict(small, "out") == 0
    caution = "the networks learned from simulated cells only; do not rely on the answers"
    assert f"caution: {caution}" in capsys.readouterr().out
    for row in rows(tmp_path / "out" / "predictions.csv"):
        assert row["safe"] == ""
        assert row["warning"].endswith(f"no safe answer: not calibrated on real images; {caution}")


def test_an_unknown_run_lists_those_there_are(small):
    with pytest.raises(UserError, match="nowhere: no such run under artifacts and no such folder; runs there: small"):
        main(["fit", "--run", "nowhere"])


def test_without_any_ensemble_the_message_says_how_to_get_one(small, monkeypatch):
    monkeypatch.setattr("hpa_hier.runs.find.pretrained_folder", lambda: None)
    with pytest.raises(UserError, match="no run here has a fitted ensemble; train members"):
        main(["explain", "sample-00000", "--set", "artifacts=artifacts"])


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-x", "@SUM", "\tx"])
def test_a_cell_that_a_spreadsheet_would_run_gets_an_apostrophe(cell):
    assert safe_cell(cell) == "'" + cell
    assert safe_cell("\r" + cell) == "\\r" + cell  # no row ends there, and no cell begins with it


def test_an_open_group_without_a_leaf_below_it_is_submitted_by_its_label(tmp_path):
    text = "taxonomy: t\nlevels: {coarse: 1, leaf: leaves}\ntree:\n  Vesicles:\n    label: 17\n    open: true\n"
    taxonomy = Taxonomy.from_text(text + "    Lysosomes: {label: 10}\n  Cytosol: {label: 25}\n")
    scores = Scores("leaf", ("a", "b"), taxonomy.nodes, np.array([[9.0, -9, -9], [-9, -9, -9]]))
    from hpa_hier.ensemble.scores.scores import Truth

    vesicles, known = np.array([[True, False, False], [False] * 3]), np.ones((2, 3), bool)
    plain = EnsembleSettings(calibrate="none", aggregate="mean", refine=False, thresholds="fixed")
    ensemble = fit([scores], Truth(scores.ids, vesicles, known), taxonomy, plain)
    with open_tables(tmp_path, taxonomy) as tables:
        answers = Answers(ensemble, ensemble.predict([scores]), (scores,), ((), ()))
        tables.add(answers.rows)
    assert rows(tmp_path / "submission.csv")[0] == {"Id": "a", "Predicted": "17"}
    assert answers.fallback[0] == ""
    assert answers.fallback[1] in ("Lysosomes", "Cytosol")


def test_the_fallback_lies_below_the_groups_that_are_present(tmp_path):
    text = "taxonomy: t\nlevels: {coarse: 1, leaf: leaves}\ntree:\n  Nucleus:\n    Nucleoli: {label: 2}\n"
    taxonomy = Taxonomy.from_text(text + "    Nucleoplasm: {label: 0}\n  Secretory:\n    Golgi: {label: 7}\n")
    probs = np.array([[0.6, 0.1, 0.2, 0.3, 0.3], [0.3, 0.1, 0.2, 0.3, 0.3]])  # Golgi is the likeliest leaf of both
    present = np.array([[True, False, False, False, False], [False] * 5])
    unsure = SafeAnswers(np.array([-1, -1]), np.zeros(2))
    prediction = Prediction(("a", "b"), taxonomy.nodes, probs, probs, np.full(5, 0.5), present, unsure)
    with open_tables(tmp_path, taxonomy) as tables:
        answers = Answers(SimpleNamespace(taxonomy=taxonomy), prediction, (), ((), ()))
        tables.add(answers.rows)
    assert answers.fallback == ("Nucleoplasm", "Golgi")
    assert [row["place_1"] for row in rows(tmp_path / "predictions.csv")] == ["Golgi", "Golgi"]
    assert [row["Predicted"] for row in rows(tmp_path / "submission.csv")] == ["0", "7"]


def test_one_image_is_answered_on_the_terminal(small, tmp_path, capsys):
    fit_run(small.run)
    write_images(tmp_path / "images", 2)
    files = sorted(map(str, (tmp_path / "images").glob("image-01*")))
    before = sorted(tmp_path.rglob("*"))
    for given in (["images/image-01_green.png"], files, ["--images", "images/image-01_green.png"]):
        assert main(["predict", *given, "--run", "small"]) == 0
        printed = capsys.readouterr().out
        assert re.search(r"^image-01\n  most likely  \w.* \d+ %, \w.* \d+ %, \w.* \d+ %\n  called  ", printed, re.M)
        assert "image-00" not in printed
        assert "no safe answers: it was not calibrated on real images" in printed
    assert sorted(tmp_path.rglob("*")) == before


def test_images_and_flags_that_do_not_go_together_are_refused(small, tmp_path):
    fit_run(small.run)
    write_images(tmp_path / "images", 1)
    for flags in (["--format", "h5ad"], ["--overwrite"], ["--sample-submission", "s.csv"]):
        with pytest.raises(UserError, match=f"{flags[0]} goes with --out DIR; add it, or leave this out"):
            main(["predict", "images", "--run", "small", *flags])
    with pytest.raises(UserError, match="predict needs images"):
        main(["predict", "--run", "small", "--out", "out"])
    with pytest.raises(UserError, match="predict needs images"):
        main(["predict", "images", "--vectors", "v.csv", "--run", "small", "--out", "out"])


def test_the_first_images_that_cannot_be_read_are_said_with_their_reasons(small, tmp_path, capsys):
    fit_run(small.run)
    write_images(tmp_path / "images", 6)
    for i in range(5):
        (tmp_path / "images" / f"image-0{i}_green.png").write_bytes(b"")
    assert predict(small, "out") == 1
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("5 left out, as out/rejected.csv says:")
    assert [line.partition(":")[0] for line in lines[start + 1 :]] == [
        *(f"  image-0{i}_green.png" for i in range(3)),
        "  and 2 more",
    ]


# explain


def test_explain_tells_a_held_out_images_way_down_the_tree(small, capsys):
    fit_run(small.run)
    sample = np.array(small.truth.ids)[small.parts == "test"][0]
    assert main(["explain", sample, "--run", "small", "--all"]) == 0
    text = capsys.readouterr().out
    assert f"image      {sample}" in text
    assert "held-out image" in text
    for node in small.taxonomy.nodes:
        assert node in text
    for name in ("coarse", "leaf", "majority", "minority"):
        assert f"    {name} " in text
    said = small.members["leaf"].take([sample]).logits[0, 0]
    assert f"{said:+.2f}" in text
    assert "also under Nucleus" in text


def test_explain_scores_an_image_that_the_members_were_trained_on(small, capsys):
    fit_run(small.run)
    sample = np.array(small.truth.ids)[small.parts == "train"][0]
    main(["explain", sample, "--run", "small"])
    assert "image that the members were trained on" in capsys.readouterr().out


def test_explain_reads_an_image_of_a_folder(small, tmp_path, capsys):
    fit_run(small.run)
    write_images(tmp_path / "images", 2, ("red", "green", "blue"))
    main(["explain", "image-01", "--run", "small", "--images", "images", "--may-be-missing", "yellow"])
    said = capsys.readouterr().out
    assert "there is no yellow channel; zeros stand for it" in said
    assert f"from:         {Path('images', 'image-01_blue.png')} and 2 more" in said
    with pytest.raises(UserError, match="images: no readable image 'image-77'; the first ids here: image-00, image-01"):
        main(["explain", "image-77", "--run", "small", "--images", "images"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["images/image-01_green.png"],
        ["image-01_green.png", "--images", "images"],
        ["--images", "images/image-01_green.png"],
        ["image-01", "--images", "images/image-01_red.png"],
    ],
)
def test_explain_takes_an_image_by_its_file(arguments, small, tmp_path, capsys):
    fit_run(small.run)
    write_images(tmp_path / "images", 2)
    assert main(["explain", *arguments, "--run", "small"]) == 0
    assert "image:        image-01\n" in capsys.readouterr().out


def test_explain_without_an_image_or_with_several_says_what_to_do(small, tmp_path):
    fit_run(small.run)
    write_images(tmp_path / "images", 2)
    with pytest.raises(UserError, match="needs the id of an image, or its file, as in: hpa-hier explain my_images/a"):
        main(["explain", "--run", "small"])
    with pytest.raises(UserError, match="images: holds 2 images; name one, by its id or its file"):
        main(["explain", "--images", "images", "--run", "small"])


def test_explain_writes_a_page_with_the_picture(small, tmp_path, capsys):
    fit_run(small.run)
    write_images(tmp_path / "images", 1)
    arguments = ["explain", "images/image-00_green.png", "--run", "small", "--out", "pages"]
    assert main(arguments) == main(arguments) == 0
    assert f"wrote {Path('pages', 'image-00.html')}" in capsys.readouterr().out
    page = (tmp_path / "pages" / "image-00.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 5
    assert "What is doubtful" in page
    (tmp_path / "pages" / "image-00.html").write_text("mine")
    with pytest.raises(UserError, match=r"image-00\.html: exists and was not written by this command"):
        main(arguments)


def test_explain_of_an_unknown_id_says_what_to_do(small):
    fit_run(small.run)
    with pytest.raises(UserError, match=r"no image of .* has this id, the first is sample-00000; .* add --images DIR"):
        main(["explain", "nobody", "--run", "small"])


def test_help_needs_no_heavy_library():
    for command in ([], ["fit"], ["predict"], ["evaluate"], ["explain"]):
        code = (
            "import sys; from hpa_hier.cli.ensemble import parser\n"
            f"try: parser().parse_args({[*command, '--help']!r})\n"
            "except SystemExit: pass\n"
            "sys.exit(bool({'torch', 'numpy', 'cv2', 'pydantic'} & set(sys.modules)))"
        )
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_the_ensemble_needs_no_torch():
    code = (
        "import sys, hpa_hier.predict.predictor, hpa_hier.predict.fit_run, hpa_hier.ensemble.fit\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def truth_of(small: SmallRun):
    from hpa_hier.ensemble.scores.scores import Truth

    targets = small.pack.targets(small.taxonomy)
    return Truth(small.pack.ids, targets.present, targets.known)


def test_a_run_elsewhere_is_named_by_its_path_in_hints(tmp_path):
    run = tmp_path / "my runs" / "other"
    run.mkdir(parents=True)
    with pytest.raises(UserError, match=r"fit the ensemble: .* fit --run '.*/my runs/other'"):
        keep.load(run / "ensemble")


def test_one_file_a_pattern_a_table_of_paths_and_linked_folders_are_predicted(small, tmp_path):
    fit_run(small.run)
    write_images(tmp_path / "images", 3)
    predict(small, "all")
    whole = rows(tmp_path / "all" / "probabilities.csv")
    (tmp_path / "farm").mkdir()
    (tmp_path / "farm" / "plate").symlink_to(tmp_path / "images")
    table = "r_image,g_image,b_image,y_image,output_prefix\n"
    table += "".join(f"images/image-01_{c}.png," for c in ("red", "green", "blue", "yellow")) + "image-01\n"
    (tmp_path / "paths.csv").write_text(table)
    one = str(tmp_path / "images" / "image-01_green.png")
    for i, given in enumerate(([one], [str(tmp_path / "images" / "image-01*")], [str(tmp_path / "paths.csv")])):
        out = str(tmp_path / f"out{i}")
        assert main(["predict", "--images", *given, "--run", "small", "--out", out]) == 0
        assert rows(Path(out) / "probabilities.csv") == whole[1:2]
    farm = ["predict", "--images", str(tmp_path / "farm"), "--run", "small", "--out", str(tmp_path / "linked")]
    with pytest.raises(UserError, match="--follow-links reads it"):
        main(farm)
    assert main([*farm, "--follow-links", "--overwrite"]) == 0
    assert rows(tmp_path / "linked" / "probabilities.csv") == whole


def test_verify_compares_the_whole_pack_before_anything_is_fitted_or_evaluated(small):
    shard = small.pack.path / "images-00000.npy"
    content = bytearray(shard.read_bytes())
    main(["fit", "--run", "small", "--verify"])
    before = (small.folder / "ensemble" / "ensemble.json").read_bytes()
    content[-1] ^= 1
    shard.write_bytes(content)
    for command in ("fit", "evaluate"):
        with pytest.raises(UserError, match=r"1 of 1 shards are not what was packed, as images-00000.npy; pack the im"):
            main([command, "--run", "small", "--verify"])
    assert (small.folder / "ensemble" / "ensemble.json").read_bytes() == before
    with pytest.raises(UserError, match="--verify: compares a run's pack, and --scores needs none; leave it out"):
        main(["fit", "--scores", "a=b.csv", "--labels", "c.csv", "--verify"])
    with pytest.raises(UserError, match="--verify: compares the run's own pack, which samples of yours are not in"):
        main(["evaluate", "--run", "small", "--images", ".", "--labels", "c.csv", "--verify"])
