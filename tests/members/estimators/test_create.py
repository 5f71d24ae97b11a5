"""Estimators by name, and what is refused with the name of what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpa_hier.errors import UserError
from hpa_hier.files.shipped import shipped_names
from hpa_hier.members.estimators.create import NAMED, create_estimator
from hpa_hier.settings.describe import list_settings
from hpa_hier.settings.recipe_file import load_recipe


@pytest.mark.parametrize("name", NAMED)
def test_every_word_is_a_classifier_with_its_own_defaults(name: str) -> None:
    made = create_estimator(name, {}, 5, "a")
    drawn = {"random_state": 5} if "random_state" in made.get_params() else {}
    assert made.get_params() == {**type(made)().get_params(), **drawn}


def test_a_seed_in_the_parameters_is_kept() -> None:
    assert create_estimator("extra_trees", {"random_state": 3}, 5, "a").random_state == 3


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("extra_tree", {}, r"^training.estimator of 'a': no estimator .* 'extra_tree'; did you mean 'extra_trees'\?$"),
        ("forest of trees", {}, r"no estimator is called 'forest of trees'; it is extra_trees, .*, or the dotted path"),
        ("no_such_package.Thing", {}, r"no_such_package.Thing: cannot be imported \(No module named 'no_such_pack"),
        ("sklearn.naive_bayes.GausianNB", {}, r"has no class 'GausianNB'; did you mean 'GaussianNB'\?$"),
        ("sklearn.linear_model.Ridge", {}, r"sklearn.linear_model.Ridge is no classifier with predict_proba or"),
        ("os.system", {}, r"os.system: os has no class 'system'; correct the path"),
        ("pathlib.Path", {}, r"pathlib.Path is no estimator, having no get_params; name one, such as extra_trees"),
        ("extra_trees", {"n_estimator": 3}, r"^training.estimator_parameters of 'a': extra_trees has no 'n_estimator'"),
        ("extra_trees", {"n_estimators": -3}, r"estimator_parameters of 'a': The 'n_estimators' .* Got -3"),
        ("extra_trees", {"n_jobs": 2}, r"n_jobs: how many threads there are is no part of a member; give --threads N"),
        ("sklearn.ensemble.StackingClassifier", {}, r"cannot be made with them \(.*estimators"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_told(name: str, parameters: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_estimator(name, parameters, 0, "a")


def test_a_recipe_runs_no_program(tmp_path: Path) -> None:
    run = {"args": ["touch", str(tmp_path / "made")]}
    with pytest.raises(UserError, match=r"subprocess\.Popen is no estimator"):
        create_estimator("subprocess.Popen", run, 0, "a")
    inner = {"estimator": {"estimator": "subprocess.Popen", "parameters": run}}
    with pytest.raises(UserError, match=r"subprocess\.Popen is no estimator"):
        create_estimator("sklearn.ensemble.BaggingClassifier", inner, 0, "a")
    assert not (tmp_path / "made").exists()


def test_every_word_is_told_of_and_used_by_a_recipe() -> None:
    meaning = next(row.meaning for row in list_settings() if row.key == "training.estimator")
    recipes = [load_recipe(name) for name in shipped_names() if name.startswith("configs/")]
    used = {recipe.member_training(member).estimator for recipe in recipes for member in recipe.listed}
    assert [word for word in NAMED if word not in meaning or word not in used] == []


def test_estimators_inside_an_estimator_are_made_too_and_draw_by_its_seed() -> None:
    trees = {"estimator": "extra_trees", "parameters": {"n_estimators": 3}}
    made = create_estimator("sklearn.ensemble.BaggingClassifier", {"estimator": trees}, 5, "a")
    assert (made.estimator.n_estimators, made.random_state, made.estimator.random_state) == (3, 5, 5)
    steps = [["scale", {"estimator": "sklearn.preprocessing.StandardScaler"}], ["trees", trees]]
    assert create_estimator("sklearn.pipeline.Pipeline", {"steps": steps}, 5, "a")[-1].random_state == 5
    with pytest.raises(UserError, match="no estimator is called 'extra_tree'"):
        create_estimator("sklearn.ensemble.BaggingClassifier", {"estimator": {"estimator": "extra_tree"}}, 5, "a")
