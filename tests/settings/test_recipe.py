"""Recipes: every mistake with its line and its cure, changes from the command line, and the way back to a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from hpa_hier.errors import UserError
from hpa_hier.files.shipped import find_shipped, shipped_names
from hpa_hier.settings.recipe import Recipe
from hpa_hier.settings.recipe_file import load_recipe, recipe_yaml
from hpa_hier.settings.training import TrainingSettings

ROOT = Path(__file__).resolve().parents[2]


def recipe_of(folder: Path, text: str, *sets: str) -> Recipe:
    (folder / "x.yaml").write_text(text, encoding="utf-8")
    return load_recipe(str(folder / "x.yaml"), sets)


def complaint(folder: Path, text: str, *sets: str) -> str:
    with pytest.raises(UserError) as caught:
        recipe_of(folder, text, *sets)
    return str(caught.value).removeprefix(f"{folder}/")


def test_the_default_recipe_changes_no_default() -> None:
    assert load_recipe(None) == Recipe()
    assert load_recipe(None).members is None


def test_a_shipped_recipe_compares_as_many_networks_with_as_many() -> None:
    recipe = load_recipe("configs/demo.yaml")
    members = {member.name: member for member in recipe.listed}
    assert set(recipe.ensemble.members) | set(recipe.ensemble.baseline) == set(members)
    assert len(recipe.ensemble.members) == len(recipe.ensemble.baseline)
    assert {members[name].level for name in recipe.ensemble.baseline} == {"leaf"}
    assert len({members[name].seed for name in recipe.ensemble.baseline}) == len(recipe.ensemble.baseline)


def test_members_are_auto_where_a_recipe_does_not_list_them_and_none_where_its_list_is_empty(tmp_path: Path) -> None:
    for text in ("run: mine\n", "members: auto\n", "members:\n"):
        assert recipe_of(tmp_path, text).members is None
    assert recipe_of(tmp_path, "members: []\n").members == ()
    assert recipe_of(tmp_path, "members: [{name: a, level: leaf}]\n", "members=auto").members is None
    assert "members: auto\n" in recipe_yaml(Recipe())
    assert "x.yaml:1: members must be a valid tuple, got 'automatic'" in complaint(tmp_path, "members: automatic\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training:\n  epochs: -1\n", "x.yaml:2: training.epochs must be greater than 0, got -1"),
        ("training:\n  epoch: 5\n", "x.yaml:2: unknown setting 'training.epoch'; did you mean 'epochs'?"),
        ("trainig:\n  epochs: 5\n", "x.yaml:1: unknown setting 'trainig'; did you mean 'training'?"),
        ("split: {xyzzy: 1}\n", "x.yaml:1: unknown setting 'split.xyzzy'; known here are fractions, folds, seed"),
        ("training:\n  epochs: true\n", "x.yaml:2: training.epochs must not be true or false, got true"),
        ("training:\n  epochs: many\n", "x.yaml:2: training.epochs must be a valid integer, unable to parse"),
        ("training:\n  learning_rate: .inf\n", "x.yaml:2: training.learning_rate must be a valid number"),
        ("training:\n  learning_rate: nan\n", "x.yaml:2: training.learning_rate must be a finite number, got 'nan'"),
        (
            "training:\n  loss: mse\n",
            "x.yaml:2: training.loss must be 'bce', 'focal', 'weighted_bce', 'class_weighted', 'asymmetric', "
            "'class_balanced', 'distribution_balanced', 'logit_adjusted', 'soft_f1' or 'max_constraint', got 'mse'",
        ),
        (
            "training:\n  loss_options: {gamma: 1}\n",
            "x.yaml:1: training: loss_options: loss 'bce' has no 'gamma'; it takes no numbers",
        ),
        (
            "training: {loss: asymmetric, loss_options: {gama: 1}}\n",
            "x.yaml:1: training: loss_options: loss 'asymmetric' has no 'gama'; it takes gamma_positive, gamma_",
        ),
        (
            "training: {loss: class_balanced, loss_options: {beta: 1}}\n",
            "x.yaml:1: training: loss_options: beta of 'class_balanced' must be below 1",
        ),
        (
            "training: {loss: asymmetric, loss_options: {clip: 1.5}}\n",
            "x.yaml:1: training: loss_options: clip of 'asymmetric' must be below 1",
        ),
        (
            "training: {loss: distribution_balanced, loss_options: {scale: 0}}\n",
            "x.yaml:1: training: loss_options: scale of 'distribution_balanced' must be above 0",
        ),
        (
            "training: {head: chain, loss: logit_adjusted}\n",
            "x.yaml:1: training: loss 'logit_adjusted' shifts by the share of all images, and head 'chain' learns",
        ),
        (
            "training:\n  class_weights: {Nucleoplasm: 0.5}\n",
            "x.yaml:1: training: class_weights go with loss weighted_bce or class_weighted, not 'bce'",
        ),
        (
            "training: {weights_sha256: 14fe96d1}\n",
            "x.yaml:1: training: weights_sha256 is that of the file in training.weights; name it, or leave both out",
        ),
        ("training: {loss: class_weighted}\n", "x.yaml:1: training: loss 'class_weighted' needs class_weights, as"),
        ("training: 5\n", "x.yaml:1: training must be a block of settings, got 5"),
        ("split:\n  fractions: [0.5, 0.2, 0.2]\n", "x.yaml:1: split: fractions must sum to 1, got 0.9"),
        ("split:\n  fractions: [0.5, 0.5]\n", "x.yaml:2: 'split.fractions.2' is missing; add it"),
        ("data:\n  channels:\n    - red\n    - pink\n", "x.yaml:4: data.channels.1 must be 'red', 'green', 'blue' or"),
        ("run: my run\n", "x.yaml:1: run must be a word of letters, digits, dots and dashes, at most 64, got 'my run'"),
        ("run: ../up\n", "x.yaml:1: run must be a word of letters"),
        (
            "members:\n  - {name: a, level: leaf}\n  - {name: b}\n",
            "x.yaml:3: members.1: member 'b' needs exactly one of",
        ),
        (
            "members:\n  - {name: a, level: leaf, group: Nucleus}\n",
            "x.yaml:2: members.0: member 'a' needs exactly one of",
        ),
        ("members:\n  - {level: leaf}\n", "x.yaml:2: 'members.0.name' is missing; add it"),
        (
            "members:\n  - {name: a, level: leaf}\n  - {name: a, level: leaf}\n",
            "x.yaml:1: member name 'a' appears twice",
        ),
        (
            "members:\n  - name: a\n    level: leaf\n    training:\n      epochs: 0\n",
            "x.yaml:5: members.0.training.epochs must be greater than 0, got 0",
        ),
        (
            "members:\n  - name: a\n    level: leaf\n    training: {augment: {turn: 1}}\n",
            "x.yaml:4: unknown setting 'members.0.training.augment.turn'; known here are flips_and_quarter_turns",
        ),
        ("split: {seed: -4}\n", "x.yaml:1: split.seed must be greater than or equal to 0, got -4"),
        ("- a\n", "x.yaml:1: a recipe holds settings such as 'run: demo'"),
        ("run: a\nrun: b\n", "x.yaml:2: 'run' appears twice, first on line 1; rename or remove one"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_what_was_got(tmp_path: Path, text: str, message: str) -> None:
    assert complaint(tmp_path, text).startswith(message)


def test_several_mistakes_are_counted(tmp_path: Path) -> None:
    assert complaint(tmp_path, "training: {epochs: 0, width: 0, patience: 0}").endswith("got 0 (and 2 more)")


def test_an_empty_recipe_has_all_defaults(tmp_path: Path) -> None:
    assert recipe_of(tmp_path, "# nothing\n") == Recipe()


def test_set_changes_single_settings_whether_they_stand_in_the_file_or_not(tmp_path: Path) -> None:
    text = "training: {epochs: 3}\nmembers:\n  - {name: coarse, level: coarse}\n  - {name: leaf, level: leaf}\n"
    recipe = recipe_of(
        tmp_path, text, "training.epochs=5", "training.augment.rotate=0", "data.channels=[red, green]",
        "members.leaf.seed=7", "members.0.training.epochs=9", "data.pack=null", "run=mine",
    )  # fmt: skip
    assert recipe.training.epochs == 5
    assert recipe.training.augment.rotate == 0
    assert recipe.data.channels == ("red", "green")
    assert [member.seed for member in recipe.members] == [0, 7]
    assert recipe.member_training(recipe.members[0]).epochs == 9
    assert (recipe.data.pack, recipe.run) == (None, "mine")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("training.epochs=-1", "--set training.epochs=-1: training.epochs must be greater than 0, got -1"),
        ("training.epoch=1", "--set training.epoch=1: unknown setting 'training.epoch'; did you mean 'epochs'?"),
        ("trainin.epochs=1", "--set trainin.epochs=1: unknown setting 'trainin'; did you mean 'training'?"),
        ("split.fractions=[0.5, 0.1, 0.1]", "--set split.fractions=[0.5, 0.1, 0.1]: split: fractions must sum to 1"),
        ("training.epochs", "--set training.epochs: must be such as training.epochs=5"),
        ("=5", "--set =5: must be such as training.epochs=5"),
        ("run.x=3", "--set run.x=3: 'run' has nothing called 'x'; name a setting"),
        ("members.leaf.seed=1", "--set members.leaf.seed=1: 'members' has nothing called 'leaf'; it has a"),
        ("members.4.seed=1", "--set members.4.seed=1: 'members' has nothing called '4'; it has a"),
        ("training.epochs=[1", "--set training.epochs=[1: not valid YAML (expected ',' or ']'"),
        ("run=&a b", "--set run=&a b: the anchor '&a'; anchors are not allowed, so remove it"),
    ],
)
def test_a_mistake_in_set_names_the_set(tmp_path: Path, change: str, message: str) -> None:
    assert complaint(tmp_path, "run: a\nmembers:\n  - {name: a, level: leaf}\n", change).startswith(message)


def test_a_members_training_overrides_only_what_it_names(tmp_path: Path) -> None:
    text = (
        "training: {epochs: 3, augment: {rotate: 90, gain: 0}}\n"
        "members:\n  - {name: a, level: leaf, training: {loss: focal, augment: {rotate: 5}}}\n"
    )
    recipe = recipe_of(tmp_path, text)
    training = recipe.member_training(recipe.members[0])
    assert (training.epochs, training.loss, training.augment.rotate, training.augment.gain) == (3, "focal", 5, 0)
    assert recipe.member_training(recipe.members[0].model_copy(update={"training": {}})) == recipe.training


@pytest.mark.parametrize("name", [name for name in shipped_names() if name.startswith("configs/")])
def test_a_recipe_written_and_read_is_the_same(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    assert recipe_of(tmp_path, recipe_yaml(recipe)) == recipe


_TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20) | st.sampled_from(
    ["no", "12", "012", "1e5", "null", "true", "", " ", "a: b", "#", "- a", "~", "'", '"', "\\", "C:\\new", "ä ö"]
)


@examples(150)
@given(_TEXTS, st.floats(1e-300, 1e300), st.lists(_TEXTS, max_size=3), st.integers(1, 10**15))
def test_any_text_and_number_survives_being_written(text: str, rate: float, names: list[str], count: int) -> None:
    from hpa_hier.files.yaml_file import parse_yaml

    recipe = Recipe.model_validate(
        {
            "taxonomy": text,
            "training": TrainingSettings(learning_rate=rate, epochs=count, backbone=text),
            "partition": {"majority": names},
            "members": [{"name": "a", "group": text, "training": {"backbone": text, "augment": {"gain": 0.5}}}],
        }
    )
    assert Recipe.model_validate(parse_yaml(recipe_yaml(recipe), "x.yaml").value) == recipe


def test_what_is_shipped_is_found_and_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_shipped("configs/demo.yaml").is_file()
    assert {"configs/default.yaml", "configs/demo.yaml", "hierarchy/hpa28.yaml"} <= set(shipped_names())
    with pytest.raises(UserError, match=r"^configs/dmeo\.yaml: no such file; did you mean 'configs/demo\.yaml'\?"):
        find_shipped("configs/dmeo.yaml")
    with pytest.raises(UserError, match="no such file"):
        find_shipped("configs/../pyproject.toml")
