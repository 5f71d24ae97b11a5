"""Evaluating on newly labelled samples: the same answers as `predict` gives, beside their truth, in a folder apart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ensemble_run import MeanOfPixels, SmallRun, write_images

from hpa_hier.cli.ensemble import main
from hpa_hier.errors import UserError
from hpa_hier.evaluate.compute import compute_results
from hpa_hier.files.atomic import read_json
from hpa_hier.predict import predictor as module
from hpa_hier.predict.fit_run import evaluate_run, fit_run
from hpa_hier.predict.labelled.evaluate import NewEvaluation, evaluate_samples, fit_trivial
from hpa_hier.predict.labelled.samples import LabelledRequest
from hpa_hier.predict.predictor import Predictor

LEAVES = (0, 2, 4, 25, 19)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallRun:
    run = SmallRun(tmp_path)
    monkeypatch.chdir(tmp_path)
    every = {name: MeanOfPixels(scores) for name, scores in run.members.items()}
    monkeypatch.setattr(module, "_load", lambda run, ensemble, names, *_: {name: every[name] for name in names})
    fit_run(run.run)
    evaluate_run(run.run)
    write_images(tmp_path / "mine", 24)
    rows = [f"image-{i:02d},{LEAVES[i % 5]}{' 25' if i % 7 == 0 else ''},HPA{i // 2}" for i in range(24)]
    (tmp_path / "mine.csv").write_text("\n".join(["Id,Target,antibody", *rows, ""]))
    return run


def evaluate(small: SmallRun, **changes: object) -> NewEvaluation:
    request = {"labels": Path("mine.csv"), "images": Path("mine"), **changes}
    return evaluate_samples(Predictor(small.run), LabelledRequest(**request), small.home / "out")  # type: ignore[arg-type]


def test_answers_are_those_of_predict_and_truth_is_the_label_table(small: SmallRun) -> None:
    found = evaluate(small).evaluation
    answers = Predictor(small.run).predict(Path("mine"))
    order = [answers.ids.index(sample) for sample in found.ids]
    np.testing.assert_array_equal(found.ensemble.probs, answers.probs[order])
    np.testing.assert_array_equal(found.ensemble.present, answers.present[order])
    assert [bool(found.targets[i, small.taxonomy.column["Nucleoplasm"]]) for i in range(3)] == [True, False, False]
    assert found.groups[:4] == ("HPA0", "HPA0", "HPA1", "HPA1")
    assert set(found.systems) == {"ensemble", "baseline", "trivial"}


def test_the_runs_own_evaluation_stays_and_the_same_command_gives_the_same_numbers(small: SmallRun) -> None:
    before = {path.name: path.read_bytes() for path in small.run.ensemble_folder.iterdir()}
    first = compute_results(evaluate(small).evaluation)
    again = compute_results(evaluate(small).evaluation)
    assert first == again
    assert {path.name: path.read_bytes() for path in small.run.ensemble_folder.iterdir()} == before
    with pytest.raises(UserError, match="holds a pack of other samples, labels or settings"):
        evaluate(small, may_be_missing=("yellow",))


def test_samples_that_the_run_learned_from_are_counted(small: SmallRun) -> None:
    assert evaluate(small).seen is not None
    assert evaluate(small).seen.describe(24) == ""  # type: ignore[union-attr]
    mine = evaluate(small).pack
    assert mine is not None
    run = read_json(small.folder / "run.json")
    (small.folder / "run.json").write_text(json.dumps(run | {"pack": str(mine.path), "pack_digest": mine.digest}))
    seen = evaluate_samples(
        Predictor(small.run.with_evaluation(evaluate(small).evaluation, mine)),
        LabelledRequest(labels=Path("mine.csv"), images=Path("mine")),
        small.home / "other",
    ).seen
    assert seen is not None
    assert seen.describe(24).startswith("24 of 24 samples are among those that this run was trained or calibrated on")


def test_the_trivial_baseline_never_sees_the_fold_that_it_answers_for(small: SmallRun) -> None:
    truth = small.truth.take(small.truth.ids[:20])
    groups = [f"g{i // 2}" for i in range(20)]
    trivial = fit_trivial(truth, groups, small.taxonomy)
    turned = truth.present.copy()
    turned[:2] = ~turned[:2]  # the first antibody's labels change, and so may only what others are told
    other = fit_trivial(replace(truth, present=turned), groups, small.taxonomy)
    assert trivial.probs.shape == (20, len(small.taxonomy.nodes))
    assert len(np.unique(trivial.probs, axis=0)) > 1
    assert not np.array_equal(trivial.probs[2:], other.probs[2:])


def test_the_command_prints_the_table_and_writes_below_the_run(
    small: SmallRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--run", "small", "--images", "mine", "--labels", "mine.csv", "--report"]) == 0
    printed = capsys.readouterr().out
    assert "images of mine: 24 images, 28 positives of 5 classes; 95 % intervals by 12 units" in printed
    assert "always the same labels" in printed
    folder = small.folder / "evaluations" / "mine"
    assert {"evaluation.npz", "evaluation.json", "results.json", "pack", "report"} <= {p.name for p in folder.iterdir()}
    page = (folder / "report" / "index.html").read_text()
    assert "Images of mine, 28 positives in 24 images" in page
    assert "None of these images was trained on." in page


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--labels", "mine.csv"], "--labels: goes with samples"),
        (["--images", "mine"], "--labels CSV is missing"),
        (["--images", "mine", "--labels", "mine.csv", "--ids", "x"], "--ids: goes with --vectors FILE; leave it out"),
        (["--vectors", "v.csv", "--labels", "mine.csv"], "the members take images, not vectors"),
        (["--images", "mine", "--labels", "mine.csv", "--scores", "a=b.csv"], "take the place of --images"),
    ],
)
def test_flags_that_do_not_fit_are_refused(small: SmallRun, flags: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        main(["evaluate", "--run", "small", *flags])


def test_scores_of_other_models_are_evaluated_where_the_ensemble_was_fitted_on_such(small: SmallRun) -> None:
    one = small.members["leaf"]
    header = ",".join(["id", *one.nodes])
    rows = [
        ",".join([i, *(f"{p:.5f}" for p in 1 / (1 + np.exp(-r)))]) for i, r in zip(one.ids, one.logits, strict=True)
    ]
    Path("scores.csv").write_text("\n".join([header, *rows, ""]))
    leaves = [small.taxonomy.column[leaf] for leaf in small.taxonomy.leaves]
    words = [small.taxonomy.label(small.taxonomy.nodes[j]) for j in leaves]
    labels = [" ".join(words[k] for k in np.flatnonzero(row[leaves])) for row in small.truth.present]
    named = [f"{i},{text}" for i, text in zip(small.truth.ids, labels, strict=True) if text]
    Path("fit.csv").write_text("\n".join(["Id,Target", *named[:50], ""]))
    Path("new.csv").write_text("\n".join(["Id,Target", *named[50:], ""]))
    tables = ["--scores", "leaf=scores.csv"]
    how = ["--score-kind", "probs", "--labels", "fit.csv", "--taxonomy", str(small.file)]
    assert main(["fit", "--run", "tables", *tables, *how]) == 0
    assert main(["evaluate", "--run", "tables", *tables, "--labels", "new.csv"]) == 0
    kept = read_json(Path("artifacts/tables/evaluations/new/results.json"))
    assert kept["scope"]["samples"] == len(named) - 50
    with pytest.raises(UserError, match="holds an evaluation already; name another folder with --out"):
        main(["evaluate", "--run", "tables", *tables, "--labels", "new.csv"])
