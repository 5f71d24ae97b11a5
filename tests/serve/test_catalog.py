"""Catalog: which ensembles are offered, which answers where none is named, and why some cannot."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from ensemble_run import SmallRun

from hpa_hier.files.atomic import read_json
from hpa_hier.serve.catalog import Catalog, describe, describe_tree
from hpa_hier.serve.safety.refusal import Refusal


def copy(small: SmallRun, artifacts: Path, name: str, **about: object) -> Path:
    """Copy a run whose ensemble says something else of itself."""
    folder = artifacts / name
    shutil.copytree(small.folder, folder)
    file = folder / "ensemble" / "ensemble.json"
    kept = read_json(file)
    kept["about"] |= about
    file.write_text(json.dumps(kept))
    os.utime(file, (1, len(list(artifacts.iterdir()))))
    return folder


def test_the_default_is_the_ensemble_that_predict_would_take(small: SmallRun, tmp_path: Path) -> None:
    catalog = Catalog((), tmp_path)
    assert [one.name for one in catalog.list()] == ["pretrained"]
    copy(small, tmp_path, "drawn")  # calibrated on simulated cells, so passed over
    found = catalog.default()
    assert found is not None
    assert found.name == "pretrained"
    copy(small, tmp_path, "real", simulated=False)
    copy(small, tmp_path, "later", simulated=False)
    found = catalog.default()
    assert found is not None
    assert found.name == "later"
    named = Catalog([str(tmp_path / "drawn"), "later"], tmp_path).default()
    assert named is not None
    assert named.name == "drawn"


def test_what_cannot_answer_for_images_is_listed_with_the_reason(small: SmallRun, tmp_path: Path) -> None:
    vectors = read_json(small.folder / "ensemble" / "ensemble.json")["about"]["images"]
    copy(small, tmp_path, "vectors", images={**vectors, "kind": "vectors"})
    copy(small, tmp_path, "scores", images=None, score_kind="probs")
    (copy(small, tmp_path, "torn") / "ensemble" / "ensemble.json").write_text("{")
    (copy(small, tmp_path, "odd") / "config.yaml").write_text("run: [")
    copy(small, tmp_path, ".new.adapting")
    told = {one.name: describe(one) for one in Catalog((), tmp_path).list()}
    assert told.keys() == {"pretrained", "vectors", "scores", "torn", "odd"}
    reasons = {name: str(one["reason"]) for name, one in told.items() if not one["usable"]}
    assert "takes vectors, and no images" in reasons["vectors"]
    assert "other models' scores" in reasons["scores"]
    assert "not a JSON file" in reasons["torn"]
    assert "config.yaml" in reasons["odd"]
    catalog = Catalog((), tmp_path)
    for name in reasons:
        with pytest.raises(Refusal, match="choose another") as caught:
            describe_tree(catalog.get(name))
        assert caught.value.status == 422


def test_runs_of_one_name_are_told_apart(small: SmallRun, tmp_path: Path) -> None:
    for home in ("a", "b"):
        (tmp_path / home).mkdir()
        copy(small, tmp_path / home, "mine")
    catalog = Catalog([str(tmp_path / "a" / "mine"), str(tmp_path / "b" / "mine")], tmp_path)
    assert {name: folder.parent.name for name, folder in catalog.folders().items()} == {"mine": "a", "mine~2": "b"}


def test_an_ensemble_that_was_fitted_again_is_read_again(small: SmallRun, tmp_path: Path) -> None:
    folder = copy(small, tmp_path, "mine")
    catalog = Catalog((), tmp_path)
    assert catalog.get("mine") is catalog.get("mine")
    file = folder / "ensemble" / "ensemble.json"
    kept = read_json(file)
    kept["about"]["samples"] += 1
    file.write_text(json.dumps(kept))
    os.utime(file, (7, 7))
    assert catalog.get("mine").run.ensemble.about["samples"] == 31


def test_cautions_and_limits_are_in_words(small: SmallRun, tmp_path: Path) -> None:
    copy(small, tmp_path, "drawn")
    told = describe(Catalog((), tmp_path).get("drawn"))
    assert told["caution"].startswith("the networks learned from simulated cells only")
    assert "images without red, green, blue, yellow" in told["not_for"]
    assert told["no_safe"].startswith("no safe answer")
