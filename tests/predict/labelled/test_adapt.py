"""Adapting the bundled ensemble to drawn images: a run of its own, which answers as any other does."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from hpa_hier.cli.ensemble import main
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import sha256
from hpa_hier.files.faults.folder import UNFINISHED
from hpa_hier.files.shipped import pretrained_folder
from hpa_hier.predict.labelled.adapt import Adapted, adapt
from hpa_hier.predict.labelled.samples import LabelledRequest
from hpa_hier.predict.predictor import Predictor
from hpa_hier.runs.run import Run
from hpa_hier.taxonomy import Taxonomy

TREE = """taxonomy: mine
levels: {group: 1, leaf: leaves}
tree:
  Inside:
    Nucleoplasm: {label: 0}
    Nucleoli: {label: 1}
  Outside:
    Cytosol: {label: 2}
    Stripes: {label: 3}
    Squares: {label: 4}
"""


def write_images(folder: Path, count: int) -> None:
    """Write images of noise, with bright stripes on every fourth."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        for channel in ("red", "green", "blue", "yellow"):
            image = rng.integers(0, 120, (64, 64)).astype(np.uint8)
            if i % 4 == 3 and channel == "green":
                image[::8] = 255
            cv2.imwrite(str(folder / f"image-{i:02d}_{channel}.png"), image)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("adapt")
    write_images(home / "images", 20)
    rows = [f"image-{i:02d},{(0, 2, 25, 0)[i % 4]}" for i in range(20)]
    (home / "labels.csv").write_text("\n".join(["Id,Target", *rows, ""]))
    rows = [f"image-{i:02d},{(0, 1, 2, 3)[i % 4]}" for i in range(18)] + ["image-18,4", "image-19,3"]
    (home / "mine.csv").write_text("\n".join(["Id,Target", *rows, ""]))
    (home / "mine.yaml").write_text(TREE)
    return home


def run_adapt(home: Path, name: str, labels: str, tree: str | None = None) -> Adapted:
    request = LabelledRequest(labels=home / labels, images=home / "images")
    chosen, folder = Taxonomy.load(home / tree) if tree else None, home / "artifacts" / name

    def finish(new: Run) -> None:
        (new.ensemble_folder / "beside.txt").write_text(f"{new.evaluation.facts.part}, there: {folder.exists()}")

    return adapt(Predictor.load("pretrained"), request, folder, chosen, "none", finish)


@pytest.fixture(scope="module")
def adapted(home: Path) -> Adapted:
    return run_adapt(home, "same", "labels.csv")


@pytest.fixture(scope="module")
def own_tree(home: Path) -> Adapted:
    return run_adapt(home, "own", "mine.csv", "mine.yaml")


def test_the_new_run_answers_where_it_lies_and_where_it_is_moved(adapted: Adapted, home: Path) -> None:
    first = Predictor.load(adapted.run.folder).predict(home / "images")
    moved = home / "elsewhere"
    adapted.run.folder.rename(moved)
    try:
        again = Predictor.load(Run.open(moved)).predict(home / "images")
        assert Run.open(moved).pack.path == moved / "pack"
    finally:
        moved.rename(adapted.run.folder)
    np.testing.assert_array_equal(first.probs, again.probs)
    assert not first.unsafe  # safe answers are those of real images now
    assert "then calibrated on 20 real images" in " ".join(first.warnings)


def test_the_run_that_it_is_made_of_stays_as_it_is_and_nothing_is_overwritten(adapted: Adapted, home: Path) -> None:
    bundled = pretrained_folder()
    assert bundled is not None
    kept = adapted.run.ensemble.about["adapted"]
    assert kept["ensemble_sha256"] == sha256(bundled / "ensemble" / "ensemble.json")
    for record in Run.open("pretrained").members:
        for name in record.manifest.files:
            if (record.folder / name).is_file():
                assert sha256(record.folder / name) == record.manifest.files[name]
    with pytest.raises(UserError, match="same: is there already; name another run"):
        run_adapt(home, "same", "labels.csv")


def test_what_belongs_to_the_new_run_is_written_before_it_has_its_name(adapted: Adapted) -> None:
    assert (adapted.run.ensemble_folder / "beside.txt").read_text() == "out of fold, there: False"


def test_the_evaluation_is_out_of_fold_beside_the_ensemble_as_it_was(
    adapted: Adapted, capsys: pytest.CaptureFixture[str]
) -> None:
    found = adapted.run.evaluation
    assert set(found.systems) == {"ensemble", "baseline", "trivial"}
    assert found.facts.compared_with == "before adapting"
    assert adapted.fitted.unseen is not None
    assert main(["evaluate", "--run", str(adapted.run.folder)]) == 0
    printed = capsys.readouterr().out
    assert "each judged by what had not seen it: 20 images" in printed
    assert "adapted: it has no test part, so this is out of fold" in printed


def test_an_own_tree_takes_what_the_ensemble_knows_learns_a_new_class_and_never_calls_a_rare_one(
    own_tree: Adapted, home: Path
) -> None:
    assert own_tree.new == ("Stripes", "Squares")
    assert own_tree.never == ("Squares",)
    leaf = next(record for record in own_tree.run.members if record.name == "leaf")
    assert set(leaf.manifest.nodes) == {"Nucleoplasm", "Nucleoli", "Cytosol", "Stripes", "Squares"}
    answers = Predictor.load(own_tree.run).predict(home / "images")
    stripes = answers.probs[:, answers.nodes.index("Stripes")]
    striped = np.array([name[-2:] in ("03", "07", "11", "15", "19") for name in answers.ids])
    assert stripes[striped].min() > stripes[~striped].max()
    assert not any("Squares" in labels for labels in answers.labels)
    assert "Squares" not in answers.fallback


def test_the_command_adapts_evaluates_reports_and_refuses_what_is_there(
    own_tree: Adapted, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    with pytest.raises(UserError, match="artifacts/own: is there already; name another run with --out"):
        main(["adapt", "--run", "pretrained", "--images", "images", "--labels", "mine.csv", "--out", "own"])
    with pytest.raises(UserError, match="labelled samples are --images DIR or --vectors FILE"):
        main(["adapt", "--run", "pretrained", "--labels", "mine.csv"])
    assert main(["evaluate", "--run", "own", "--images", "images", "--labels", "mine.csv"]) == 0
    printed = capsys.readouterr()
    assert "20 of 20 samples are among those that this run was trained or calibrated on" in printed.err
    with pytest.raises(UserError, match=r"artifacts/own: was adapted from .*adapt that one again: python -m"):
        main(["fit", "--run", "own"])
    assert main(["explain", "image-00", "--run", "own"]) == 0
    assert "image that the ensemble was adapted to" in capsys.readouterr().out


def test_three_images_are_adapted_to_and_tell_nothing_out_of_fold(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    (home / "three.csv").write_text("Id,Target\nimage-00,0\nimage-01,2\nimage-02,25\n")
    flags = ["--images", "images", "--labels", "three.csv", "--on-problem", "skip", "--tta", "none"]
    assert main(["adapt", "--run", "pretrained", *flags, "--out", "three"]) == 0
    printed = capsys.readouterr().out
    assert "adapted calibration, weights, thresholds and safe answers: 3 samples" in printed
    assert "too few samples to say out of fold what that changed" in printed
    (home / "artifacts" / "three" / UNFINISHED).touch()  # as where it was killed at the very end
    assert main(["adapt", "--run", "pretrained", *flags, "--out", "three"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == printed.splitlines()[1:]
    with pytest.raises(UserError, match="was adapted to too few samples to say anything out of fold; evaluate it on"):
        main(["evaluate", "--run", "three"])
