"""--print-config: every setting with its value, and the file, the member or the flag that gave it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpa_hier.files.yaml_file import parse_yaml
from hpa_hier.settings.merged import describe_merged
from hpa_hier.settings.recipe import Recipe
from hpa_hier.settings.recipe_file import load_recipe

TEXT = """run: mine
training: {epochs: 3}
members:
  - {name: a, level: leaf, training: {width: 8, epochs: 4}}
  - {name: b, level: leaf, seed: 1}
"""


def lines(recipe: Recipe, member: int | None = None) -> dict[str, str]:
    text = describe_merged(recipe, None if member is None else recipe.listed[member])
    return {line.split(":")[0].strip(" -"): line.strip() for line in text.splitlines()}


def test_each_value_is_shown_with_its_origin(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(TEXT)
    recipe = load_recipe(str(file), ["training.dropout=0.3", "members.b.seed=5", "members.b.training.epochs=2"])
    shown = lines(recipe)
    assert shown["run"] == f"run: mine  # {file}:1"
    assert shown["epochs"] == f"epochs: 3  # {file}:2"
    assert shown["width"] == "width: 32  # default"
    rows = [line.strip() for line in describe_merged(recipe).splitlines() if line.startswith("  - ")]
    assert rows == [
        f"- {{name: a, level: leaf, training: {{width: 8, epochs: 4}}}}  # {file}:4",
        f"- {{name: b, level: leaf, seed: 5, training: {{epochs: 2}}}}  # {file}:5, --set members.b.seed=5, "
        "--set members.b.training.epochs=2",
    ]


def test_of_a_member_its_own_settings_are_told_from_the_recipes(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(TEXT)
    shown = lines(load_recipe(str(file), ["training.epochs=9", "members.b.training.epochs=2"]), 0)
    assert shown["width"] == f"width: 8  # member 'a', {file}:4"
    assert shown["epochs"] == "epochs: 9  # --set training.epochs=9"
    assert lines(load_recipe(str(file), ["members.b.training.epochs=2"]), 1)["epochs"] == (
        "epochs: 2  # --set members.b.training.epochs=2"
    )


@pytest.mark.parametrize("name", ["default", "demo", "configs/choices/losses.yaml", "pretrained"])
def test_what_is_shown_is_itself_the_recipe(name: str) -> None:
    recipe = load_recipe(name)
    text = describe_merged(recipe)
    assert Recipe.model_validate(parse_yaml(text, "x.yaml").value) == recipe
