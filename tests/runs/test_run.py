"""Runs and plans: what is shared, what is kept, and what must not be mixed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from tiny_run import TAXONOMY, write_tiny

from hpa_hier.data.balance.cooccurrence import balance_factors
from hpa_hier.errors import UserError
from hpa_hier.members.nodes import Selector, find_member, select_member, train_flags
from hpa_hier.runs.manifest import read_manifest
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe import MemberSettings, Recipe
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.training.assemble import assemble, plan_augmentation
from hpa_hier.training.plan import plan_training
from hpa_hier.training.train_member import TrainOptions, train_member

QUIET = TrainOptions(device="cpu", lines=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with coarse, leaf and group-Inside trained for one epoch."""
    folder = tmp_path_factory.mktemp("run")
    recipe = load_recipe(str(write_tiny(folder, training={"epochs": 1})))
    run = start_run(recipe)
    for name in ("coarse", "leaf", "group-Inside"):
        train_member(plan_training(run, find_member(recipe, name)), QUIET)
    return folder


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    """The same folder, to be changed."""
    shutil.copytree(trained, tmp_path / "copy")
    return tmp_path / "copy"


def recipe_in(folder: Path, *changes: str) -> Recipe:
    return load_recipe(str(folder / "recipe.yaml"), [f"artifacts={folder / 'artifacts'}", *changes])


def train_again(folder: Path, name: str, *changes: str, restart: bool = False) -> str:
    recipe = recipe_in(folder, f"taxonomy={folder / 'toy.yaml'}", f"data.pack={folder / 'pack'}", *changes)
    request = TrainOptions(device="cpu", lines=False, restart=restart)
    return train_member(plan_training(start_run(recipe), find_member(recipe, name)), request)


def test_a_run_holds_what_its_members_share(trained: Path) -> None:
    run = trained / "artifacts" / "tiny"
    expected = {"run.json", "config.yaml", "taxonomy.yaml", "split.csv", "split.json", "partition.json", "members"}
    assert expected <= {path.name for path in run.iterdir()}
    assert (run / "taxonomy.yaml").read_text() == TAXONOMY
    partition = json.loads((run / "partition.json").read_text())
    assert set(partition["majority"]) == {leaf for leaf, count in partition["counts"].items() if count >= 40}
    assert set(partition["majority"]) | set(partition["minority"]) == set(partition["counts"])


def test_training_a_finished_member_again_keeps_it_and_says_so(copy: Path) -> None:
    manifest = copy / "artifacts" / "tiny" / "members" / "leaf" / "member.json"
    before = manifest.read_bytes()
    assert "leaf: already trained; kept in" in train_again(copy, "leaf")
    line = train_again(copy, "leaf", "training.epochs=2")
    assert "though trained with epochs 1 (now 2)" in line
    assert manifest.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [("training.backbone=nope", "no model 'nope'"), ("training.weights=gone.safetensors", "no such file")],
)
def test_a_restart_that_is_refused_costs_nothing(copy: Path, change: str, message: str) -> None:
    folder = copy / "artifacts" / "tiny" / "members" / "leaf"
    before = read_manifest(folder)
    with pytest.raises(UserError, match=message):
        train_again(copy, "leaf", change, restart=True)
    assert read_manifest(folder) == before
    assert (folder / "model.safetensors").exists()


def test_a_run_keeps_the_recipe_that_its_user_named(copy: Path) -> None:
    kept = copy / "artifacts" / "tiny" / "config.yaml"
    changes = (f"taxonomy={copy / 'toy.yaml'}", f"data.pack={copy / 'pack'}")
    before = load_recipe(str(kept))
    start_run(recipe_in(copy, *changes, "training.epochs=7"), named=False)
    assert load_recipe(str(kept)) == before.model_copy(
        update={"taxonomy": str(copy / "toy.yaml")}
    )  # the run's one tree
    start_run(recipe_in(copy, *changes, "training.epochs=7"))
    assert "epochs: 7" in kept.read_text()


def test_a_run_that_names_nothing_is_called_damaged(copy: Path) -> None:
    (copy / "artifacts" / "tiny" / "run.json").write_text("{}")
    with pytest.raises(UserError, match=r"run\.json: is damaged \(pack: Field required\)"):
        start_run(recipe_in(copy, f"taxonomy={copy / 'toy.yaml'}", f"data.pack={copy / 'pack'}"))


def test_restart_trains_anew_to_the_same_bits(copy: Path) -> None:
    folder = copy / "artifacts" / "tiny" / "members" / "leaf"
    before = read_manifest(folder)
    assert "written to" in train_again(copy, "leaf", restart=True)
    after = read_manifest(folder)
    assert before.files["model.safetensors"] == after.files["model.safetensors"]
    assert before.files["scores.npz"] == after.files["scores.npz"]


def test_the_manifest_says_what_was_done(trained: Path) -> None:
    manifest = read_manifest(trained / "artifacts" / "tiny" / "members" / "leaf")
    assert (manifest.steps, manifest.images_seen, manifest.epochs) == (7, 112, 1)
    assert manifest.selector == {"level": "leaf"}
    assert manifest.best_epoch == 1
    assert manifest.stopped == "all steps"
    assert set(manifest.meanings) == set(manifest.nodes)


def test_moving_a_leaf_makes_the_coarse_member_stale_and_not_the_leaf_member(copy: Path) -> None:
    moved = TAXONOMY.replace("    Rings: {label: 1}\n", "").replace(
        "  Outside:\n", "  Outside:\n    Rings: {label: 1}\n"
    )
    (copy / "toy.yaml").write_text(moved)
    assert "leaf: already trained" in train_again(copy, "leaf")
    for name in ("coarse", "group-Inside"):
        with pytest.raises(
            UserError, match=f"{name}: stale, .*train it again with .*--member {name} --run .*tiny --restart"
        ):
            train_again(copy, name)


def test_renaming_a_leaf_makes_nothing_stale(copy: Path) -> None:
    (copy / "toy.yaml").write_text(TAXONOMY.replace("Rings", "Hoops"))
    for name in ("coarse", "leaf", "group-Inside"):
        assert "already trained" in train_again(copy, name)


def test_a_run_refuses_another_pack(copy: Path, tmp_path: Path) -> None:
    write_tiny(tmp_path / "other", count=80)
    with pytest.raises(UserError, match=r"run\.json: the run was begun with pack .*give another name with --run"):
        start_run(recipe_in(copy, f"data.pack={tmp_path / 'other' / 'pack'}"))


def test_a_run_refuses_an_edited_split(copy: Path) -> None:
    split = copy / "artifacts" / "tiny" / "split.csv"
    split.write_text(split.read_text().replace(",test,", ",train,", 1))
    with pytest.raises(UserError, match="the split was edited"):
        start_run(recipe_in(copy))


def test_a_run_refuses_another_taxonomy(copy: Path) -> None:
    (copy / "toy.yaml").write_text(TAXONOMY.replace("taxonomy: toy", "taxonomy: mine"))
    with pytest.raises(UserError, match="the run was begun with taxonomy 'toy', now it is 'mine'"):
        start_run(recipe_in(copy, f"taxonomy={copy / 'toy.yaml'}"))


def test_only_one_process_trains_a_member(copy: Path) -> None:
    folder = copy / "artifacts" / "tiny" / "members" / "leaf"
    with FileLock(folder / "lock"), pytest.raises(UserError, match="another process is training this member"):
        train_again(copy, "leaf")


def test_a_member_without_a_place_in_the_recipe_gets_a_name_and_a_command() -> None:
    recipe = Recipe()
    member = select_member(recipe, Selector("group", "Plasma membrane (organelle)"), seed=3)
    assert member.name == "group-Plasma-membrane--organelle--s3"
    assert train_flags(member, recipe) == {"group": "Plasma membrane (organelle)", "seed": 3}


def test_a_selector_finds_the_recipes_own_member() -> None:
    own = MemberSettings(name="mine", level="coarse", seed=2)
    recipe = Recipe(members=(own,))
    assert select_member(recipe, Selector("level", "coarse"), 2) is own
    assert select_member(recipe, Selector("level", "coarse"), 0).name == "coarse"
    with pytest.raises(UserError, match="--member his: the recipe has no member of that name; it has mine"):
        find_member(recipe, "his")


def test_an_empty_side_of_the_partition_is_refused(copy: Path) -> None:
    recipe = recipe_in(copy, "partition.majority_min_images=100000")
    member = select_member(recipe, Selector("partition", "majority"), 0)
    with pytest.raises(UserError, match=r"partition\.majority_min_images: no leaf is in the majority"):
        plan_training(start_run(recipe), member)


def test_a_members_own_settings_are_checked_when_they_are_merged(copy: Path) -> None:
    recipe = recipe_in(copy)
    member = MemberSettings(name="odd", level="leaf", training={"epochs": -1})
    with pytest.raises(UserError, match=r"members\.odd\.training\.epochs: .*got -1"):
        plan_training(start_run(recipe), member)


def test_a_head_that_needs_the_tree_answers_for_the_nodes_above_too(copy: Path) -> None:
    recipe = recipe_in(copy, f"taxonomy={copy / 'toy.yaml'}", f"data.pack={copy / 'pack'}")
    run = start_run(recipe)
    for changes in ({"head": "chain"}, {"head": "levels"}, {"loss": "max_constraint"}):
        member = MemberSettings(name="new", group="Inside", training=changes)
        plan = plan_training(run, member)
        assert plan.nodes == ("Inside", "Dots", "Rings")
        assert plan.parents == {"Inside": (), "Dots": ("Inside",), "Rings": ("Inside",)}
    everything = plan_training(run, MemberSettings(name="new", level="all"))
    assert everything.nodes == run.taxonomy.nodes
    assert everything.parents == {}


@pytest.mark.parametrize("augment", [{"only_minority": True}, {"mixing": "union_mean"}])
def test_what_is_varied_is_a_choice_among_the_members_own_images(copy: Path, augment: dict[str, object]) -> None:
    run = start_run(recipe_in(copy, f"taxonomy={copy / 'toy.yaml'}", f"data.pack={copy / 'pack'}"))
    member = MemberSettings(name="new", partition="minority", images="own", training={"augment": augment})
    plan = plan_training(run, member)
    own = run.part("train", plan.nodes, plan.carry)
    augmentation = plan_augmentation(plan, np.ones(len(own), np.int64), on_device=False)
    assert 0 < len(own) < len(run.split.part_ids("train"))
    assert augmentation.mixable.tolist() == own.present.any(axis=1).tolist() == [True] * len(own)


def test_an_untrained_head_guesses_the_share_of_an_epoch_and_not_of_the_part(copy: Path) -> None:
    run = start_run(recipe_in(copy, f"taxonomy={copy / 'toy.yaml'}", f"data.pack={copy / 'pack'}"))
    training = {"balance": "copied", "balance_target": 0.6}
    plan = plan_training(run, MemberSettings(name="new", level="leaf", training=training))
    train = run.part("train", plan.nodes)
    factors = balance_factors(train.present, "copied", 0.6, 0.15, 32)
    assert (factors > 1).any()
    assembly = assemble(plan, torch.device("cpu"), {}, "")
    guessed = torch.sigmoid(next(layer for layer in assembly.network.head.modules() if hasattr(layer, "bias")).bias)
    np.testing.assert_allclose(guessed.detach(), factors @ train.present / factors.sum(), rtol=1e-4)


def test_dense_layers_stand_before_the_head_and_learn_at_its_rate(copy: Path) -> None:
    run = start_run(recipe_in(copy, f"taxonomy={copy / 'toy.yaml'}", f"data.pack={copy / 'pack'}"))
    training = {"dense": [12, 6], "backbone_rate": 0.1, "freeze_epochs": 1}
    assembly = assemble(
        plan_training(run, MemberSettings(name="new", level="leaf", training=training)), torch.device("cpu"), {}, ""
    )
    network = assembly.network
    shapes = [tuple(weights.shape) for name, weights in network.top.named_parameters() if name.endswith("weight")]
    assert shapes == [(12, 2 * 8 * 8), (6, 12)]
    assert network(torch.from_numpy(run.pack.images(np.arange(4)))).shape == (4, 4)
    slow = {id(weights) for weights in network.backbone.parameters()}
    optimizers = assembly.module.configure_optimizers()
    rates = {
        id(weights): group["initial_lr"] if "initial_lr" in group else group["lr"]
        for group in optimizers["optimizer"].param_groups
        for weights in group["params"]
    }
    assert {rates[id(weights)] for weights in network.top.parameters()} == {max(rates.values())}
    assert max(rates[key] for key in slow) < max(rates.values())


def test_the_calibration_loss_of_lifted_answers_is_that_of_what_they_were_before(copy: Path) -> None:
    run = start_run(recipe_in(copy, f"taxonomy={copy / 'toy.yaml'}", f"data.pack={copy / 'pack'}"))
    plan = plan_training(run, MemberSettings(name="new", group="Inside", training={"loss": "max_constraint"}))
    network = assemble(plan, torch.device("cpu"), {}, "").network.eval()
    images = torch.from_numpy(run.pack.images(np.arange(8)))
    bare = network.logits(images)
    bare[:, 0] = -9.0
    assert (network.answers(bare)[:, 0] == bare[:, 1:].amax(dim=1)).all()
    torch.testing.assert_close(network.answers(network.logits(images)), network(images), rtol=0, atol=0)


def test_another_head_under_a_finished_members_name_is_a_difference_of_settings(copy: Path) -> None:
    line = train_again(copy, "leaf", "training.head=chain")
    assert "leaf: already trained, though trained with head flat (now chain)" in line


def test_what_is_below_an_annotated_group_is_part_of_what_a_training_is(copy: Path) -> None:
    changes = (f"taxonomy={copy / 'toy.yaml'}", f"data.pack={copy / 'pack'}")
    plans = [
        plan_training(start_run(recipe), find_member(recipe, "leaf"))
        for recipe in (recipe_in(copy, *changes), recipe_in(copy, *changes, "data.below_annotation=absent"))
    ]
    assert plans[0].digest != plans[1].digest


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (
            {"backbone": "mlp"},
            "training.backbone: mlp takes vectors, and .*pack holds images; name small_cnn or a timm",
        ),
        ({"head": "chain", "loss": "max_constraint"}, "'max_constraint' and head 'chain' are two ways to one end"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(copy: Path, training: dict[str, object], message: str) -> None:
    run = start_run(recipe_in(copy, f"taxonomy={copy / 'toy.yaml'}", f"data.pack={copy / 'pack'}"))
    with pytest.raises(UserError, match=message):
        plan_training(run, MemberSettings(name="new", level="leaf", training=training))
