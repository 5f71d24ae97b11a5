"""The recipes of single choices: each loads, opens with its command and score, and has a row in the benchmark."""

from __future__ import annotations

from pathlib import Path

import choices
import pytest

from hpa_hier.settings.recipe_file import load_recipe

RECIPES = sorted((Path(__file__).resolve().parents[2] / "configs" / "choices").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_opens_with_what_it_shows_its_command_and_its_score(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert lines[1] == f"#   python -m hpa_hier.train --all --config configs/choices/{path.name}"
    assert any(line.startswith(choices.HEAD) for line in lines)


def test_every_recipe_has_a_row() -> None:
    assert {*choices.NETWORKS, *choices.ENSEMBLES} == {path.stem for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_member_gets_settings_that_hold(path: Path) -> None:
    recipe = load_recipe(str(path))
    for member in recipe.members:
        assert recipe.member_training(member).max_steps > 0


def test_members_of_recipes_about_networks_are_rows_of_their_own() -> None:
    rows = [choice.name for choice in choices.list_choices(["heads", "mean"], ())]
    assert rows[0] == choices.PLAIN
    assert rows[-1] == choices.MEAN
