"""Origin: whether simulated cells are behind an ensemble's networks, their first weights, or its calibration."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from ensemble_run import SmallRun

from hpa_hier.cli.ensemble import main as ensemble
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.split.split import Split, write_split
from hpa_hier.errors import UserError
from hpa_hier.evaluate.report.write import write_report
from hpa_hier.files.atomic import read_json, write_text
from hpa_hier.files.shipped import pretrained_folder
from hpa_hier.predict.fit_run import fit_run
from hpa_hier.runs.find import Choice, find_fitted
from hpa_hier.runs.manifest import read_manifest, write_manifest
from hpa_hier.runs.origin import NOT_CALIBRATED, Origin, is_calibrated_on_simulated
from hpa_hier.runs.run import Run
from hpa_hier.settings.recipe import SplitSettings
from hpa_hier.settings.recipe_file import recipe_yaml

ONLY = "the networks learned from simulated cells only; do not rely on the answers"
SHIPPED = pretrained_folder()
needs_shipped = pytest.mark.skipif(SHIPPED is None, reason="artifacts/pretrained was not made")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallRun:
    run = SmallRun(tmp_path)
    monkeypatch.chdir(tmp_path)
    fit_run(run.run)
    return run


def change_json(path: Path, **about: object) -> None:
    content = read_json(path) if path.exists() else {}
    content.get("about", content).update(about)
    path.write_text(json.dumps(content))


def make_real(small: SmallRun, images: int = 82) -> None:
    facts = {"pack": "p", "pack_digest": "d", "split_digest": "s", "taxonomy": "small"}
    change_json(small.folder / "run.json", **facts, simulated=False, images=images)
    change_json(small.folder / "ensemble" / "ensemble.json", simulated=False)


def test_an_ensemble_of_a_simulated_pack_says_so_and_is_safe_for_simulated_cells_alone(small: SmallRun) -> None:
    origin = small.run.origin
    assert origin.warning == ONLY
    assert (origin.why_unsafe(simulated=True), origin.why_unsafe(simulated=False)) == ("", NOT_CALIBRATED)


def test_an_ensemble_of_real_images_has_nothing_to_say(small: SmallRun) -> None:
    make_real(small)
    origin = small.run.origin
    assert origin == Origin("real", False, "real", 82)
    assert (origin.warning, origin.why_unsafe(simulated=False)) == ("", "")


def test_an_older_ensemble_file_is_taken_for_what_its_run_learned_from(small: SmallRun) -> None:
    make_real(small)
    path = small.folder / "ensemble" / "ensemble.json"
    content = read_json(path)
    del content["about"]["simulated"]
    path.write_text(json.dumps(content))
    assert small.run.origin.calibrated == "real"
    change_json(small.folder / "run.json", simulated=True)
    assert small.run.origin.warning == ONLY


@needs_shipped
@pytest.mark.parametrize("name", ["pretrained", "copied"])
def test_the_bundled_ensemble_and_a_copy_of_it_are_known_by_their_images(name: str, tmp_path: Path) -> None:
    assert SHIPPED is not None
    folder = SHIPPED if name == "pretrained" else shutil.copytree(SHIPPED, tmp_path / "artifacts" / name)
    origin = Run.open(folder).origin
    assert origin.warning == ONLY
    assert origin.why_unsafe(simulated=False) == NOT_CALIBRATED
    assert is_calibrated_on_simulated(folder)


@needs_shipped
def test_a_bundled_ensemble_that_was_calibrated_on_real_images_says_both(tmp_path: Path) -> None:
    assert SHIPPED is not None
    folder = shutil.copytree(SHIPPED, tmp_path / "artifacts" / "adapted")
    change_json(folder / "ensemble" / "ensemble.json", simulated=False, samples=40)
    origin = Run.open(folder).origin
    assert origin.warning == ("the networks learned from simulated cells only, then calibrated on 40 real images")
    assert origin.why_unsafe(simulated=False) == ""
    assert not is_calibrated_on_simulated(folder)


@needs_shipped
@pytest.mark.parametrize("kept", [True, False])
def test_a_start_from_weights_of_simulated_cells_is_found_through_any_number_of_runs(
    small: SmallRun, tmp_path: Path, kept: bool
) -> None:
    assert SHIPPED is not None
    make_real(small)
    shipped = SHIPPED / "members" / "leaf"
    between = tmp_path / "artifacts" / "between" / "members" / "leaf"
    between.mkdir(parents=True)
    manifest = read_manifest(small.folder / "members" / "leaf")
    start = {"weights": str(shipped / "model.safetensors")}
    digest = read_manifest(shipped).files["model.safetensors"]
    write_manifest(between, manifest.model_copy(update={"settings": start, "weights_sha256": digest}))
    own = {"weights": str((between if kept else tmp_path / "gone") / "model.safetensors")}
    write_manifest(
        small.folder / "members" / "leaf",
        manifest.model_copy(update={"settings": own, "weights_sha256": "0" * 64 if kept else digest}),
    )
    assert small.run.origin.warning == (
        "the networks started from weights of simulated cells, then trained on 82 real images"
    )


def test_an_ensemble_on_other_models_scores_is_not_judged(small: SmallRun) -> None:
    change_json(small.folder / "ensemble" / "ensemble.json", score_kind="probs")
    assert small.run.origin == Origin()


def test_the_report_and_the_results_say_what_networks_of_real_images_started_from(
    small: SmallRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = small.truth.ids
    split = Split(ids, tuple(small.parts), ("",) * len(ids), (-1,) * len(ids))
    write_split(small.folder / "split.csv", split, SplitSettings())
    write_text(small.folder / "config.yaml", recipe_yaml(small.recipe))
    warning = "the networks started from weights of simulated cells, then trained on 82 real images"
    monkeypatch.setattr(Run, "origin", Origin("real", True, "real", 82))
    monkeypatch.setattr(Pack, "simulated", False)
    assert ensemble(["evaluate", "--run", "small"]) == 0
    assert f"bear in mind: {warning}" in capsys.readouterr().out
    page = write_report(Run.open("small"))[0].read_text()
    assert f"Bear in mind: {warning}." in page


def test_a_run_of_simulated_cells_is_passed_over_for_real_images(
    small: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo, artifacts = small.folder, tmp_path / "artifacts"
    choice = find_fitted(artifacts)
    assert (choice.folder, choice.passed_over) == (pretrained_folder(), (demo,))
    assert choice.describe() == (
        "no run here has an ensemble of real images: using the bundled one (small passed over, as fitted on simulated "
        "cells: --run small takes it all the same)"
    )
    assert find_fitted(artifacts, simulated=True) == Choice(demo)
    mine = shutil.copytree(demo, artifacts / "mine")
    change_json(mine / "ensemble" / "ensemble.json", simulated=False)
    os.utime(mine / "ensemble" / "ensemble.json", ns=(0, 0))  # fitted long ago
    choice = find_fitted(artifacts)
    assert choice == Choice(mine, (demo,))
    assert choice.describe().startswith(f"using the ensemble fitted last: {mine} (small passed over")
    shutil.rmtree(mine)
    monkeypatch.setattr("hpa_hier.runs.find.pretrained_folder", lambda: None)
    with pytest.raises(UserError, match=r"every ensemble here was fitted on simulated cells, .* \(--run small\)"):
        find_fitted(artifacts)
