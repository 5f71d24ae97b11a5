"""Starting from another member: its backbone, its digest, whose turn it is, and every way in which it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_run import finish, train_here, write_tiny

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import sha256
from hpa_hier.members.nodes import find_member
from hpa_hier.runs.manifest import read_manifest
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe import Recipe
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.training.assemble import assemble
from hpa_hier.training.folds import fold_plan
from hpa_hier.training.plan import Plan, describe_differences, plan_training
from hpa_hier.training.start_from import missing_starts, training_order
from hpa_hier.training.train_member import TrainOptions, train_member

QUIET = TrainOptions(device="cpu", lines=False)
STARTED = {"name": "started", "group": "Inside", "training": {"start_from": "leaf"}}
LEAF = {"name": "leaf", "level": "leaf"}


def plan_member(folder: Path, name: str, *sets: str, started: dict[str, object] = STARTED) -> Plan:
    recipe = load_recipe(str(write_tiny(folder, members=[started, LEAF], training={"epochs": 1})), sets)
    return plan_training(start_run(recipe), find_member(recipe, name))


def test_a_member_starts_from_the_other_ones_backbone_and_keeps_its_digest(tmp_path: Path) -> None:
    leaf = plan_member(tmp_path, "leaf")
    train_member(leaf, QUIET)
    plan = plan_member(tmp_path, "started")
    first = assemble(plan, torch.device("cpu"), {}, "").module.network.state_dict()
    kept = load_file(leaf.folder / "model.safetensors")
    backbone = [name for name in kept if name.startswith("backbone.")]
    assert len(backbone) > 20
    assert all(torch.equal(first[name], kept[name]) for name in backbone)
    assert first["head.linear.weight"].shape[0] == 2
    train_member(plan, QUIET)
    manifest = read_manifest(plan.folder)
    assert manifest.weights_sha256 == sha256(leaf.folder / "model.safetensors")
    assert describe_differences(manifest, plan) == ""
    train_member(plan_member(tmp_path, "leaf", "members.leaf.seed=5"), TrainOptions("cpu", restart=True, lines=False))
    assert describe_differences(manifest, plan_member(tmp_path, "started")).startswith("weights ")


@pytest.mark.parametrize("frozen", [False, True])
def test_what_stands_above_the_backbone_starts_afresh(tmp_path: Path, frozen: bool) -> None:
    train_member(plan_member(tmp_path, "leaf"), QUIET)
    plan = plan_member(tmp_path, "started", f"members.started.training.frozen={str(frozen).lower()}")
    train_member(plan, QUIET)
    kept, start = (load_file(plan.run.member_folder(name) / "model.safetensors") for name in ("started", "leaf"))
    assert torch.equal(kept["backbone.stem.0.weight"], start["backbone.stem.0.weight"]) == frozen


def test_of_folds_each_network_starts_from_that_of_its_own_fold(tmp_path: Path) -> None:
    folds = ("split.folds=2", "training.folds=2")
    leaf = plan_member(tmp_path, "leaf", *folds)
    train_member(leaf, QUIET)
    plan = plan_member(tmp_path, "started", *folds)
    for fold in range(2):
        own = leaf.folder / f"fold-{fold}" / "model.safetensors"
        assert fold_plan(plan, fold).weights == own
    train_member(plan, QUIET)
    assert read_manifest(plan.folder / "fold-1").weights_sha256 == sha256(leaf.folder / "fold-1" / "model.safetensors")
    manifest = read_manifest(plan.folder)
    assert manifest.weights_sha256 == sha256(leaf.folder / "model.safetensors")
    assert describe_differences(manifest, plan) == ""


def test_a_start_that_is_not_trained_is_an_error_with_the_command_that_trains_it(tmp_path: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"start_from of 'started': 'leaf' is not trained in .*; train it first: .* --member leaf --run .*tiny$",
    ):
        plan_member(tmp_path, "started")


def test_a_start_of_another_shape_or_split_is_an_error(tmp_path: Path) -> None:
    train_member(plan_member(tmp_path, "leaf"), QUIET)
    with pytest.raises(UserError, match="'leaf' has width 8, and 'started' 12; give both the same"):
        plan_member(tmp_path, "started", "members.started.training.width=12")
    with pytest.raises(UserError, match="'leaf' has pooling own, and 'started' gem; give both the same"):
        plan_member(tmp_path, "started", "members.started.training.pooling=gem")
    (tmp_path / "artifacts" / "tiny" / "split.csv").unlink()
    (tmp_path / "artifacts" / "tiny" / "run.json").unlink()
    with pytest.raises(UserError, match=r"'leaf' was trained on another pack or split; train it again: .*--restart"):
        plan_member(tmp_path, "started", "split.seed=9")


def test_a_member_cannot_start_from_itself(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="start_from of 'leaf': a member cannot start from itself"):
        plan_member(tmp_path, "leaf", "training.start_from=leaf")


def test_one_member_alone_has_its_start_trained_first_and_kept(tmp_path: Path) -> None:
    middle = {"name": "middle", "level": "coarse", "training": {"start_from": "leaf"}}
    last = {"name": "last", "group": "Inside", "training": {"start_from": "middle"}}
    recipe = write_tiny(tmp_path, members=[last, middle, LEAF], training={"epochs": 1})
    status, printed = finish(tmp_path / "log", "--config", recipe, "--group", "Inside", "--device", "cpu")
    assert status == 0, printed
    said = [line for line in printed.splitlines() if "which is trained first" in line]
    assert said == [f"last starts from {name}, which is trained first" for name in ("leaf", "middle")]
    run = start_run(load_recipe(str(recipe)))
    assert missing_starts(run, find_member(run.recipe, "last")) == []
    leaf = run.member_folder("leaf") / "member.json"
    before = leaf.stat().st_mtime_ns
    flags = ("--config", recipe, "--member", "last", "--device", "cpu", "--restart")
    assert finish(tmp_path / "log", *flags)[0] == 0
    assert leaf.stat().st_mtime_ns == before


def test_a_start_takes_the_place_of_the_recipes_first_weights_but_not_of_the_members_own() -> None:
    training = {"weights": "x.safetensors", "weights_sha256": "12345678", "epochs": 7}
    recipe = Recipe.model_validate({"training": training, "members": [STARTED, LEAF]})
    started, leaf = map(recipe.member_training, recipe.members)
    assert (started.weights, started.weights_sha256, started.epochs) == (None, None, 7)
    assert leaf.weights == "x.safetensors"
    both = {**STARTED, "training": {"start_from": "leaf", "pretrained": True}}
    with pytest.raises(ValueError, match="start_from and pretrained both give the backbone's first weights"):
        recipe.member_training(Recipe.model_validate({"members": [both, LEAF]}).members[0])


def recipe_of(**starts: str | None) -> Recipe:
    """Return a recipe of members that start from each other."""
    members = [{"name": name, "level": "leaf", "training": {"start_from": start}} for name, start in starts.items()]
    return Recipe.model_validate({"members": members})


def test_members_are_trained_after_those_that_they_start_from_which_come_first() -> None:
    order = training_order(recipe_of(c="b", alone=None, b="a", a=None, d="a"))
    assert list(order) == ["a", "b", "alone", "d", "c"]
    assert order == {"a": None, "b": "a", "alone": None, "d": "a", "c": "b"}


def test_unknown_starts_and_circles_are_errors() -> None:
    with pytest.raises(UserError, match="start_from of 'a': the recipe has no member 'leef'; it has a, leaf"):
        training_order(recipe_of(a="leef", leaf=None))
    with pytest.raises(UserError, match=r"training\.start_from: '.' from '.' from '.': none of them can be the first"):
        training_order(recipe_of(a="b", b="a"))


@pytest.mark.parametrize(("key", "value"), [("weights", "x.safetensors"), ("pretrained", True)])
def test_two_sources_of_first_weights_are_an_error(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"start_from and {key} both give the backbone's first weights"):
        Recipe.model_validate({"training": {"start_from": "leaf", key: value}})


def test_all_members_side_by_side_wait_for_their_start_and_fail_where_it_does(tmp_path: Path) -> None:
    bad = {"name": "bad", "level": "coarse", "training": {"width": 9, "start_from": "leaf"}}
    after = {"name": "after", "level": "leaf", "training": {"start_from": "bad"}}
    recipe = write_tiny(tmp_path, members=[after, bad, STARTED, LEAF], training={"epochs": 1})
    status, printed = train_here("--config", recipe, "--all", "--device", "cpu", "--jobs", 2)
    assert status == 2
    assert "\n2 of 4 members finished" in printed
    assert "bad: error: training.start_from of 'bad': 'leaf' has width 8, and 'bad' 9" in printed
    assert "after: not trained, as it starts from bad" in printed
    members = tmp_path / "artifacts" / "tiny" / "members"
    assert read_manifest(members / "started").weights_sha256 == sha256(members / "leaf" / "model.safetensors")
