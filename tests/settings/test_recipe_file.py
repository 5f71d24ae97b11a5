"""Default < recipe < member < flag: what the command line gives wins, and errors name it as it was typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpa_hier.errors import UserError
from hpa_hier.settings.recipe import Recipe
from hpa_hier.settings.recipe_file import load_recipe, recipe_yaml
from hpa_hier.settings.training import TrainingSettings

TEXT = """training: {epochs: 3, weights: shared.safetensors, weights_sha256: 14fe96d1}
members:
  - {name: plain, level: leaf}
  - {name: own, level: leaf, training: {epochs: 9, width: 8, augment: {rotate: 5, gain: 0.1}}}
  - {name: filed, level: leaf, training: {weights: own.safetensors}}
  - {name: started, level: leaf, training: {start_from: plain}}
  - {name: loose, level: leaf, training: {loss: focal, loss_options: {gamma: 2}}}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "x.yaml").write_text(TEXT)
    return str(tmp_path / "x.yaml")


def trained(recipe: Recipe, name: str) -> TrainingSettings:
    return recipe.member_training(next(one for one in recipe.listed if one.name == name))


def test_a_recipe_wins_over_defaults_and_a_member_over_its_recipe(file: str) -> None:
    recipe = load_recipe(file)
    assert [trained(recipe, name).epochs for name in ("plain", "own")] == [3, 9]
    assert (trained(recipe, "plain").width, trained(recipe, "own").width) == (32, 8)
    assert trained(recipe, "filed").weights == "own.safetensors"
    assert (trained(recipe, "started").start_from, trained(recipe, "started").weights) == ("plain", None)


def test_a_change_of_the_recipe_wins_over_members_and_one_of_a_member_over_both(file: str) -> None:
    recipe = load_recipe(file, ["training.epochs=5", "training.augment.rotate=0", "members.own.training.width=6"])
    own = trained(recipe, "own")
    assert (own.epochs, own.augment.rotate, own.augment.gain, own.width) == (5, 0, 0.1, 6)
    for order in (1, -1):
        sets = ["members.own.training.epochs=7", "training.epochs=5"][::order]
        recipe = load_recipe(file, sets)
        assert [trained(recipe, name).epochs for name in ("plain", "own")] == [5, 7]


def test_what_a_flag_has_won_stays_won_when_the_recipe_is_saved(file: str, tmp_path: Path) -> None:
    recipe = load_recipe(file, ["training.epochs=5", "training.loss_options={gamma: 1}", "training.loss=focal"])
    (tmp_path / "saved.yaml").write_text(recipe_yaml(recipe))
    again = load_recipe(str(tmp_path / "saved.yaml"))
    assert again == recipe
    assert trained(again, "own").epochs == 5
    assert trained(again, "loose").loss_options == {"gamma": 1}


@pytest.mark.parametrize("change", ["training.weights=mine.safetensors", "training={weights: mine.safetensors}"])
def test_first_weights_of_a_flag_take_the_place_of_every_other_way(file: str, change: str) -> None:
    recipe = load_recipe(file, [change])
    for member in recipe.listed:
        training = recipe.member_training(member)
        assert (training.weights, training.weights_sha256, training.start_from) == ("mine.safetensors", None, None)
    kept = load_recipe(file, ["training.weights=mine.safetensors", "training.weights_sha256=0123abcd"])
    assert {kept.member_training(one).weights_sha256 for one in kept.listed} == {"0123abcd"}
    bundled = load_recipe(file, ["training.init=pretrained"])
    assert {(bundled.member_training(one).weights, bundled.member_training(one).init) for one in bundled.listed} == {
        (None, "pretrained")
    }
    without = load_recipe(file, ["training.init=none"])
    assert trained(without, "started").start_from == "plain"


def test_first_weights_of_one_member_leave_the_others_as_they_are(file: str) -> None:
    recipe = load_recipe(file, ["members.started.training.weights=mine.safetensors"])
    started = trained(recipe, "started")
    assert (started.weights, started.start_from) == ("mine.safetensors", None)
    assert trained(recipe, "filed").weights == "own.safetensors"


def test_an_error_names_the_flag_as_it_was_typed(file: str) -> None:
    with pytest.raises(UserError, match=r"^--folds 99: split\.folds must be less than or equal to 20, got 99"):
        load_recipe(file, [], {"split.folds=99": "--folds 99"})
    with pytest.raises(UserError, match=r"^--set training\.width=0: training\.width must be greater than 0, got 0"):
        load_recipe(file, ["training.width=0"])


def test_a_value_knows_where_it_comes_from(file: str) -> None:
    origins = load_recipe(file, ["training.epochs=5", "members.own.seed=3"], {"run=a": "--run a"}).origins
    assert origins.of("training", "epochs") == "--set training.epochs=5"
    assert origins.of("run") == "--run a"
    assert origins.of("training", "weights") == f"{file}:1"
    assert origins.of("members", 1, "training", "width") == f"{file}:4"
    assert origins.of("members", 1, "seed") == "--set members.own.seed=3"
    assert origins.of("training", "width") == "default"
