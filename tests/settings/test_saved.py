"""A run's own recipe, opened from another folder, after a move, and after its taxonomy was deleted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpa_hier.settings.recipe import DataSettings, Recipe
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.settings.saved import saved_yaml


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "lab ä"
    (home / "pack").mkdir(parents=True)
    (home / "tree.yaml").write_text("taxonomy: toy\n")
    monkeypatch.chdir(home)
    return home


def save(recipe: Recipe, folder: Path, pack: Path) -> str:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"pack": str(pack)}))
    (folder / "config.yaml").write_text(saved_yaml(recipe, folder))
    return str(folder / "config.yaml")


def test_paths_lead_to_the_same_place_from_any_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(run="mine", taxonomy="tree.yaml", data=DataSettings(pack="pack"))
    save(recipe, Path("artifacts/mine"), home / "pack")
    assert load_recipe("artifacts/mine/config.yaml") == recipe
    monkeypatch.chdir(home.parent)
    there = load_recipe("lab ä/artifacts/mine/config.yaml")
    assert (there.run, there.artifacts) == ("mine", "lab ä/artifacts")
    assert (there.taxonomy, there.data.pack) == ("lab ä/tree.yaml", "lab ä/pack")
    (home.parent / "other.yaml").write_text("taxonomy: toy\n")
    again = there.model_copy(update={"taxonomy": "other.yaml"})
    (home / "artifacts/mine/config.yaml").write_text(saved_yaml(again, home / "artifacts/mine"))
    monkeypatch.chdir(home)
    assert load_recipe("artifacts/mine/config.yaml").taxonomy == str(home.parent / "other.yaml")
    assert load_recipe("artifacts/mine/config.yaml").data.pack == "pack"


def test_a_renamed_and_moved_run_is_opened_where_it_lies(home: Path) -> None:
    recipe = Recipe(run="mine", taxonomy="tree.yaml", data=DataSettings(pack="pack"))
    save(recipe, Path("artifacts/mine"), home / "pack")
    Path("artifacts/mine").rename(home / "kept")
    (home / "tree.yaml").unlink()
    (home / "kept" / "taxonomy.yaml").write_text("taxonomy: toy\n")
    (home / "pack").rename(home / "pack2")
    (home / "kept" / "run.json").write_text(json.dumps({"pack": str(home / "pack2")}))
    moved = load_recipe("kept/config.yaml")
    assert (moved.run, moved.artifacts, moved.taxonomy) == ("kept", ".", "kept/taxonomy.yaml")
    assert moved.data.pack == str(home / "pack2")


def test_a_shipped_taxonomy_stays_a_name(home: Path) -> None:
    path = save(Recipe(run="mine", artifacts=str(home / "runs")), home / "runs" / "mine", home / "pack")
    assert "taxonomy: hierarchy/hpa28.yaml\n" in Path(path).read_text()
    assert load_recipe(path).taxonomy == "hierarchy/hpa28.yaml"
