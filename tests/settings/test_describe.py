"""Every setting is described: with its default, its unit, its range and what it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hpa_hier.ensemble.rules import TABLES
from hpa_hier.files.shipped import shipped_names
from hpa_hier.files.yaml_file import parse_yaml
from hpa_hier.runs.roster import Roster
from hpa_hier.settings.describe import describe_settings, list_settings
from hpa_hier.settings.recipe import Recipe
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.taxonomy import Taxonomy

ROWS = {row.key: row for row in list_settings()}
CHOICES = {key: row.choices for key, row in ROWS.items() if row.choices} | {
    f"ensemble.{name}": tuple(table) for name, table in TABLES.items()
}
NOT_CHOSEN = {  # choices that no recipe makes, and why
    "training.precision": "which ones there are depends on the device",
    "training.keep_on_device": "which ones there are room for depends on the device",
    "training.compile": "always is for measuring; on a CPU compiling takes longer than it saves",
    "training.save_dtype": "it is for what is passed on; no recipe's score changes by it",
    "data.projection": "simulated cells have one section; which projection suits depends on the microscope",
    "data.may_be_missing": "any channel may be; the recipe of the bundled ensemble leaves out yellow",
    "training.augment.drop_channels": "any channel may be; the recipe of the bundled ensemble drops three",
}


@pytest.mark.parametrize("key", ROWS)
def test_every_setting_has_a_meaning_and_a_default(key: str) -> None:
    row = ROWS[key]
    assert 3 < len(row.meaning) < 300
    assert not row.meaning.endswith(".")
    assert row.default or key == "members.NAME.name"


def test_what_is_described_is_a_recipe_that_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(describe_settings(), encoding="utf-8")
    assert load_recipe(str(path)) == Recipe()
    value = parse_yaml(describe_settings(), "all.yaml").value
    assert isinstance(value, dict)
    assert set(value) == set(Recipe.model_fields)


def test_the_description_says_units_ranges_and_choices() -> None:
    text = describe_settings()
    assert "  # rotation either way [degrees; 0 to 180]\n    rotate: 15.0" in text
    assert "  # the optimiser; sgd has momentum 0.9 [adamw | adam | sgd]\n  optimizer: adamw\n" in text
    assert max(map(len, text.splitlines())) <= 120


def test_members_are_described_below_their_list() -> None:
    assert {"members", "members.NAME.name", "members.NAME.level", "members.NAME.training"} <= set(ROWS)
    assert "members: auto\n#   name of the member, and of its folder\n#   name:\n" in describe_settings()


def _chosen(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield (setting, choice) of a recipe's values, those of its members' trainings too."""
    if isinstance(value, dict) and key in CHOICES:
        yield from ((key, str(one)) for one in value)
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _chosen(one, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _chosen(one, "members.NAME" if isinstance(one, dict) else key)
    else:
        yield key, str(value)


def test_every_choice_is_made_by_a_recipe() -> None:
    made: set[tuple[str, str]] = set()
    for name in shipped_names():
        if name.startswith("configs/"):
            recipe = load_recipe(name)
            made.update(_chosen(recipe.model_dump()))
            for member in Roster.choose(recipe, Taxonomy.load(recipe.taxonomy)).members:
                made.update(_chosen(recipe.member_training(member).model_dump(), "training"))
    left = {(key, choice) for key, choices in CHOICES.items() if key not in NOT_CHOSEN for choice in choices} - made
    assert left == set()


@pytest.mark.parametrize("name", TABLES)
def test_the_meaning_of_a_rule_names_every_choice(name: str) -> None:
    assert all(choice in ROWS[f"ensemble.{name}"].meaning for choice in TABLES[name])
