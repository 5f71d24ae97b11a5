"""Members of estimators: the same files, scores, folds and ensemble as those of networks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_run import TAXONOMY

from hpa_hier.cli.ensemble.commands import main as ensemble
from hpa_hier.data.pack.vector_pack import write_vector_pack
from hpa_hier.errors import UserError
from hpa_hier.members.estimators import member as kept
from hpa_hier.members.estimators.member import EstimatorMember
from hpa_hier.members.load import load_member
from hpa_hier.members.nodes import find_member
from hpa_hier.members.score import Member
from hpa_hier.members.scores_file import load_scores
from hpa_hier.runs.manifest import Manifest, read_manifest, write_manifest
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe import Recipe
from hpa_hier.taxonomy import Taxonomy
from hpa_hier.training.plan import Plan, plan_training
from hpa_hier.training.train_member import TrainOptions, train_member

FEATURES = ("length", "width", "mass")
TREES = {"backbone": "sklearn", "estimator": "extra_trees", "estimator_parameters": {"n_estimators": 5}}
QUIET = TrainOptions(device="cpu", lines=False)


def recipe_of(folder: Path, *members: dict[str, object], **changes: object) -> Recipe:
    settings = {
        "run": "small",
        "artifacts": str(folder / "artifacts"),
        "taxonomy": str(folder / "toy.yaml"),
        "data": {"pack": str(folder / "pack")},
        "split": {"folds": 3},
        "training": {"backbone": "mlp", "mlp": {"hidden": 4}, "epochs": 1, "batch_size": 16},
        "members": members or [{"name": "trees", "level": "leaf", "training": TREES}],
        **changes,
    }
    return Recipe.model_validate(settings)


def plan_of(folder: Path, *members: dict[str, object], **changes: object) -> Plan:
    recipe = recipe_of(folder, *members, **changes)
    return plan_training(start_run(recipe), find_member(recipe, recipe.listed[0].name))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pack of vectors with gaps, some annotated with a group alone."""
    folder = tmp_path_factory.mktemp("estimators")
    (folder / "toy.yaml").write_text(TAXONOMY)
    generator = np.random.default_rng(0)
    leaves = np.array(["Dots", "Rings", "Blobs", "Smears"])
    which = generator.integers(4, size=120)
    vectors = np.eye(4)[which][:, :3] * [1, 100, 0.01] * 3 + generator.normal(size=(120, 3)) * [1, 100, 0.01]
    vectors[generator.random(vectors.shape) < 0.05] = np.nan
    names = [("Inside",) if place < 2 and row % 5 == 0 else (leaves[place],) for row, place in enumerate(which)]
    ids = [f"s{row:03d}" for row in range(120)]
    tree = Taxonomy.from_text(TAXONOMY)
    write_vector_pack(folder / "pack", vectors, ids, names, [""] * 120, FEATURES, tree, "made for a test", fill=True)
    return folder


@pytest.fixture(scope="module")
def trained(home: Path) -> Plan:
    plan = plan_of(home)
    train_member(plan, QUIET)
    return plan


def test_a_member_of_folds_answers_for_new_vectors_as_for_held_out_ones(trained: Plan) -> None:
    member, pack = load_member(trained.folder), trained.run.pack
    assert isinstance(member, EstimatorMember)
    held = load_scores(trained.folder / "scores.npz", "trees", "test")
    np.testing.assert_array_equal(member.logits(pack.read(pack.find_rows(held.ids))), held.logits)
    held = load_scores(trained.folder / "scores.npz", "trees", "calibration")
    fold_of = dict(zip(trained.run.split.ids, trained.run.split.folds, strict=True))
    for fold, one in enumerate(member.trained):
        mine = [row for row, sample in enumerate(held.ids) if fold_of[sample] == fold]
        rows = pack.find_rows([held.ids[row] for row in mine])
        np.testing.assert_array_equal(one.logits(pack.read(rows)), held.logits[mine])


def test_a_finished_member_is_kept_and_a_restart_gives_the_same(trained: Plan) -> None:
    before = load_scores(trained.folder / "scores.npz", "trees", "test").logits
    assert "already trained" in train_member(trained, QUIET)
    train_member(trained, TrainOptions(device="cpu", lines=False, restart=True, threads=2))
    np.testing.assert_array_equal(load_scores(trained.folder / "scores.npz", "trees", "test").logits, before)


def test_the_manifest_says_what_it_was_made_with(trained: Plan) -> None:
    facts = read_manifest(trained.folder).estimator
    assert facts is not None
    assert facts.path == "sklearn.ensemble._forest.ExtraTreesClassifier"
    assert (facts.parameters["n_estimators"], facts.parameters["random_state"]) == (5, 0)
    assert set(facts.libraries) == {"scikit-learn", "skops"}
    assert "fold-2/model.skops" in read_manifest(trained.folder).files


def test_a_gap_counts_as_the_mean(trained: Plan) -> None:
    member = EstimatorMember.load(trained.folder)
    mean, gap = np.zeros((2, 1, 3), np.float32)
    one = member.trained[0]
    mean[:] = one.normalise.mean.numpy()
    gap[:] = np.nan
    np.testing.assert_array_equal(one.logits(mean), one.logits(gap))


def _pretend(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(kept, "library_versions", lambda: {"scikit-learn": version, "skops": "0.99"})


def test_another_scikit_learn_is_fine_where_it_answers_alike(trained: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, "9.9")
    assert load_member(trained.folder).nodes == trained.nodes


def test_another_scikit_learn_that_answers_otherwise_is_told(trained: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, "9.9")
    fitted = kept.Fitted.logits
    monkeypatch.setattr(kept.Fitted, "logits", lambda self, values: fitted(self, values) + 1)
    with pytest.raises(
        UserError, match=r"answers otherwise .* here is scikit-learn==9.9 .*; pip install scikit-learn=="
    ):
        load_member(trained.folder)


def test_a_changed_file_is_refused(trained: Plan, tmp_path: Path) -> None:
    shutil.copytree(trained.folder, tmp_path / "trees")
    with (tmp_path / "trees" / "fold-1" / "model.skops").open("ab") as file:
        file.write(b"x")
    with pytest.raises(UserError, match=r"fold-1/model.skops: does not match the checksum"):
        load_member(tmp_path / "trees")


def test_networks_write_manifests_as_before(home: Path) -> None:
    plan = plan_of(home, {"name": "net", "level": "leaf", "training": {"folds": 0}}, run="net")
    train_member(plan, QUIET)
    assert "estimator" not in json.loads((plan.folder / "member.json").read_text())
    assert isinstance(load_member(plan.folder), Member)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({**TREES, "epochs": 3}, r"^members.trees.training.epochs: has no effect on an estimator, which 'trees' is"),
        ({**TREES, "start_from": "net"}, r"training.start_from: has no effect on an estimator"),
        ({"backbone": "sklearn"}, r"backbone 'sklearn' needs an estimator"),
        ({"estimator": "svm"}, r"estimator goes with backbone sklearn, not 'mlp'"),
        ({**TREES, "estimator_parameters": {"depth": 3}}, r"extra_trees has no 'depth'"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    home: Path, training: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        plan_of(home, {"name": "trees", "level": "leaf", "training": training}, run="refused")


def test_an_estimator_refuses_samples_in_one_line(home: Path) -> None:
    training = {"backbone": "sklearn", "estimator": "nearest_neighbours", "estimator_parameters": {"n_neighbors": 500}}
    plan = plan_of(home, {"name": "near", "level": "leaf", "training": training}, run="near")
    with pytest.raises(UserError, match=r"^training.estimator of 'near': nearest_neighbours refuses the samples .*500"):
        train_member(plan, QUIET)
    assert not (plan.folder / "member.json").exists()


def test_members_follow_the_tree_and_stand_beside_networks(home: Path) -> None:
    svm = {"backbone": "sklearn", "estimator": "svm", "balance": "repeat"}
    recipe = recipe_of(
        home,
        {"name": "net", "level": "leaf"},
        {"name": "svm", "group": "Inside", "training": svm},
        {"name": "trees", "level": "coarse", "training": TREES, "seed": 3},
        run="all",
        ensemble={"bootstrap": 0, "folds": 2},
    )
    run = start_run(recipe)
    for member in recipe.listed:
        train_member(plan_training(run, member), QUIET)
    (home / "new.csv").write_text("id,length,width,mass\na,1,2,3\nb,3,,0\n")
    folder = str(run.folder)
    assert ensemble(["fit", "--run", folder]) in (0, None)
    assert ensemble(["predict", "--run", folder, "--vectors", str(home / "new.csv"), "--out", str(home / "out")]) == 0
    assert (home / "out" / "predictions.csv").read_text().count("\n") == 3


def test_an_auto_recipe_of_estimators_starts_from_none(home: Path) -> None:
    recipe = recipe_of(home, run="auto", training=TREES).model_copy(update={"members": None})
    run = start_run(recipe)
    listed = run.roster.members
    assert {member.training.get("start_from") for member in listed} == {None}
    assert plan_training(run, listed[0]).settings.estimator == "extra_trees"


def test_an_older_manifest_has_no_estimator(trained: Plan, tmp_path: Path) -> None:
    manifest: Manifest = read_manifest(trained.folder)
    (tmp_path / "m").mkdir()
    write_manifest(tmp_path / "m", manifest.model_copy(update={"estimator": None}))
    assert read_manifest(tmp_path / "m").estimator is None
