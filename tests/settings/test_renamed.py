"""Renamed and removed settings: refused where a person wrote them, translated where they were saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpa_hier.ensemble.rules import check_rules
from hpa_hier.errors import UserError
from hpa_hier.settings.recipe import Recipe
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.settings.renamed import CHOICES, KEYS, REMOVED_CHOICES, find_old_names, translate_settings

OLD = """training: {fourth_channel: mean}
ensemble:
  flat: [leaf]
  views: d4
  aggregate: ridge
  reconcile: gate
  thresholds: prevalence
members:
  - {name: leaf, level: leaf, training: {fourth_channel: zero}}
"""


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("flat: [leaf]", "'ensemble.flat' is called 'ensemble.baseline' now; rename it"),
        ("view_sizes: [64]", "'ensemble.view_sizes' is called 'ensemble.tta_sizes' now; rename it"),
        ("aggregate: ridge", "ensemble.aggregate 'ridge' is called 'logistic_stack' now; rename it"),
        ("aggregate: stack", "ensemble.aggregate 'stack' was removed: it did not always converge, and is never better"),
        ("reconcile: gate", "ensemble.reconcile 'gate' was removed: gates cost more often than they help; use 'lift'"),
        ("fourth_channel: zero", "'training.fourth_channel' was removed; leave it out: a channel past red, green and"),
        ("thresholds: global", "ensemble.thresholds 'global' was removed: one threshold for all classes misses the"),
    ],
)
def test_an_old_name_in_a_recipe_is_answered_with_the_new_one(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "config.yaml"  # a person's, for no run and no member lies beside it
    block = "training" if message.startswith("'training") else "ensemble"
    path.write_text(f"run: mine\n{block}:\n  {line}\n")
    with pytest.raises(UserError) as caught:
        load_recipe(str(path))
    assert str(caught.value).startswith(f"{path}:3: {message}")


def test_an_old_name_in_set_is_answered_with_the_new_one() -> None:
    with pytest.raises(UserError, match=r"^--set ensemble\.views=d4: 'ensemble\.views' is called 'ensemble\.tta' now"):
        load_recipe(None, ["ensemble.views=d4"])
    with pytest.raises(UserError, match=r"^--set ensemble=\{flat: \[leaf\]\}: 'ensemble\.flat' is called"):
        load_recipe(None, ["ensemble={flat: [leaf]}"])


@pytest.mark.parametrize("beside", ["run.json", "member.json"])
def test_what_was_saved_under_old_names_is_read(tmp_path: Path, beside: str) -> None:
    (tmp_path / beside).write_text("{}")
    (tmp_path / "config.yaml").write_text(OLD)
    ensemble = load_recipe(str(tmp_path / "config.yaml")).ensemble
    assert (ensemble.baseline, ensemble.tta, ensemble.aggregate) == (("leaf",), "d4", "logistic_stack")
    assert (ensemble.reconcile, ensemble.thresholds) == ("lift", "f1")
    with pytest.raises(
        UserError, match=r"^--set ensemble\.flat=\[\]: 'ensemble\.flat' is called 'ensemble\.baseline' now"
    ):
        load_recipe(str(tmp_path / "config.yaml"), ["ensemble.flat=[]"])


def test_todays_settings_are_not_translated() -> None:
    today = Recipe().model_dump(mode="json")
    assert translate_settings(today) == today
    assert not list(find_old_names(today))


def test_new_names_are_settings_and_choices_of_today() -> None:
    def at(key: str) -> object:
        block: object = Recipe().model_dump(mode="json")
        for part in key.split("."):
            assert isinstance(block, dict)
            block = block[part]
        return block

    for key in KEYS.values():
        at(key)
    news = [*CHOICES.items(), *((old, new) for old, (new, _) in REMOVED_CHOICES.items())]
    for (key, _), choice in news:
        block, _, name = key.partition(".")
        at(key)
        recipe = Recipe.model_validate({block: {name: choice}})
        check_rules(recipe.ensemble)
