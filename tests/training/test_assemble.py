"""Auxiliary leaves: they are learnt beside a member's own nodes, and it never answers for them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_run import CHANNELS, SIZE, TAXONOMY, write_tiny

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import sha256
from hpa_hier.members.nodes import find_member
from hpa_hier.members.score import Member
from hpa_hier.members.scores_file import read_scores
from hpa_hier.models.backbones.imagenet import PACKAGES
from hpa_hier.models.backbones.subcell import Shape, SubCell
from hpa_hier.models.losses.balanced import class_balanced_weight
from hpa_hier.models.losses.elementwise import class_weighted
from hpa_hier.runs.manifest import read_manifest
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.training.assemble import assemble
from hpa_hier.training.plan import Plan, plan_training, read_finished
from hpa_hier.training.train_member import TrainOptions, train_member

QUIET = TrainOptions(device="cpu", lines=False)


def plan_group(folder: Path, *sets: str, member: str = "group-Inside", **training: object) -> Plan:
    """Plan the training of the member of one group, whose auxiliary leaves are those of the other."""
    training = {"epochs": 1, "auxiliary": 0.5, **training}
    recipe = load_recipe(str(write_tiny(folder, training=training)), sets)
    return plan_training(start_run(recipe), find_member(recipe, member))


def test_the_leaves_that_a_member_does_not_answer_for_are_learnt_beside_its_own(tmp_path: Path) -> None:
    plan = plan_group(tmp_path)
    assert (plan.nodes, plan.auxiliary) == (("Dots", "Rings"), ("Blobs", "Smears"))
    training = assemble(plan, torch.device("cpu"), {}, "")
    before = {name: weights.clone() for name, weights in training.module.network.state_dict().items()}
    assert before["head.linear.weight"].shape[0] == before["auxiliary.linear.weight"].shape[0] == 2
    batch = next(iter(training.batches))
    assert batch.present.shape == batch.known.shape == (16, 4)
    assert training.module.network.training_logits(batch.samples).shape == (16, 4)
    assert training.module.network.logits(batch.samples).shape == (16, 2)


@pytest.mark.parametrize(("member", "auxiliary"), [("leaf", ()), ("coarse", ("Dots", "Rings", "Blobs", "Smears"))])
def test_a_leaf_member_has_no_other_leaves_and_a_coarse_one_has_all(
    tmp_path: Path, member: str, auxiliary: tuple[str, ...]
) -> None:
    assert plan_group(tmp_path, member=member).auxiliary == auxiliary
    assert plan_group(tmp_path, member=member, auxiliary=0).auxiliary == ()


def test_each_part_of_the_loss_is_a_mean_over_its_own_entries_with_its_own_columns_counts(tmp_path: Path) -> None:
    plan = plan_group(tmp_path, loss="class_balanced", auxiliary=0.25, loss_options={"beta": 0.99})
    training = assemble(plan, torch.device("cpu"), {}, "")
    generator = torch.Generator().manual_seed(0)
    logits, present = torch.randn(5, 4, generator=generator), (torch.rand(5, 4, generator=generator) < 0.4).float()
    known = torch.tensor([[1.0, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1], [1, 1, 0, 1]])
    expected = 0.0
    for weight, nodes, columns in ((1.0, plan.nodes, slice(2)), (0.25, plan.auxiliary, slice(2, 4))):
        part = plan.run.part("train", nodes)
        weights = class_balanced_weight(torch.from_numpy(part.present.sum(axis=0)), 0.99)
        expected += weight * float(class_weighted(weights)(logits[:, columns], present[:, columns], known[:, columns]))
    assert float(training.module._loss(logits, present, known)) == pytest.approx(expected)


@pytest.mark.parametrize("head", ["flat", "chain", "levels"])
def test_the_other_leaves_shape_the_backbone_and_leave_no_trace_in_the_member(tmp_path: Path, head: str) -> None:
    weights = {}
    for auxiliary in (0.0, 2.0):
        plan = plan_group(tmp_path / str(auxiliary), head=head, auxiliary=auxiliary)
        train_member(plan, QUIET)
        weights[auxiliary] = load_file(plan.folder / "model.safetensors")
        manifest = read_manifest(plan.folder)
        assert set(manifest.meanings) == set(manifest.nodes) == set(read_scores(plan.folder / "scores.npz").nodes)
        assert not {"Blobs", "Smears"} & set(manifest.nodes)
    assert {name: one.shape for name, one in weights[0.0].items()} == {
        name: one.shape for name, one in weights[2.0].items()
    }
    assert not torch.equal(weights[0.0]["backbone.stem.0.weight"], weights[2.0]["backbone.stem.0.weight"])
    rows = np.arange(4)
    logits = Member.load(plan.folder, "cpu").logits(plan.run.pack.images(rows))
    assert logits.shape == (4, len(plan.nodes))


def test_folds_frozen_features_and_vectors_learn_them_too(tmp_path: Path) -> None:
    folds = ["split.folds=2", "training.folds=2"]
    plan = plan_group(tmp_path / "folds", *folds)
    train_member(plan, QUIET)
    assert set(read_scores(plan.folder / "scores.npz").nodes) == set(plan.nodes)
    start = plan_group(tmp_path / "frozen", member="leaf")
    train_member(start, QUIET)
    weights = [f"training.weights={start.folder / 'model.safetensors'}", "training.frozen=true"]
    frozen = plan_group(tmp_path / "frozen", *weights)
    assert "auxiliary.linear.weight" in assemble(frozen, torch.device("cpu"), {}, "").module.network.state_dict()
    train_member(frozen, QUIET)
    for folder in (plan.folder, frozen.folder):
        assert not [name for name in load_file(folder / "model.safetensors") if "auxiliary" in name]


def test_an_edit_of_an_auxiliary_leaf_makes_no_finished_member_stale_but_stops_an_unfinished_one(
    tmp_path: Path,
) -> None:
    plan = plan_group(tmp_path)
    train_member(plan, QUIET)
    edited = TAXONOMY.replace("    Smears: {label: 3}\n", "    Smears: {label: 4}\n    Stripes: {label: 3}\n")
    (tmp_path / "toy.yaml").write_text(edited)
    recipe = plan.run.recipe
    (tmp_path / "artifacts" / "tiny" / "taxonomy.yaml").write_text(edited)
    again = plan_training(start_run(recipe), find_member(recipe, "group-Inside"))
    assert again.auxiliary == ("Blobs", "Smears", "Stripes")
    assert read_finished(again) is not None
    assert again.digest != plan.digest


def test_a_head_that_learns_antibodies_has_no_use_for_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training\.auxiliary: head 'arcface' of 'group-Inside' learns antibodies"):
        plan_group(tmp_path, head="arcface")


def test_a_member_that_started_from_a_package_keeps_its_checksum_and_answers_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = PACKAGES["efficientnet_lite0"]
    sets = [f"training.backbone={package.backbone}", "training.weights=package:efficientnet_lite0"]
    plan = plan_group(tmp_path, *sets, "training.frozen=true", auxiliary=0)
    train_member(plan, QUIET)
    manifest = read_manifest(plan.folder)
    assert (manifest.weights_sha256, manifest.settings["weights"]) == (package.sha256, "package:efficientnet_lite0")
    monkeypatch.setattr("hpa_hier.models.backbones.imagenet.find_spec", lambda _: None)
    scores = read_scores(plan.folder / "scores.npz")
    member, rows = Member.load(plan.folder, "cpu"), plan.run.pack.find_rows(scores.ids)
    with torch.no_grad():
        logits = member.network(torch.from_numpy(plan.run.pack.images(rows[:32])))
    np.testing.assert_allclose(logits.numpy(), scores.logits[:32], atol=1e-5)


def test_a_member_on_subcells_features_takes_intensities_as_they_are_and_answers_as_it_was_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Shape(width=24, depth=2, heads=3, gate=16)
    monkeypatch.setattr("hpa_hier.models.backbones.create.SubCell", partial(SubCell, shape=small))
    weights = tmp_path / "w.safetensors"
    network = SubCell(CHANNELS, SIZE, small)
    save_file({name: torch.randn_like(tensor) / 8 for name, tensor in network.state_dict().items()}, weights)
    sets = ["training.backbone=subcell", f"training.weights={weights}", "training.frozen=true"]
    plan = plan_group(tmp_path, *sets, auxiliary=0)
    train_member(plan, QUIET)
    manifest = read_manifest(plan.folder)
    assert manifest.weights_sha256 == sha256(weights)
    assert (set(manifest.mean), set(manifest.std)) == ({0.0}, {1.0})
    scores = read_scores(plan.folder / "scores.npz")
    member, rows = Member.load(plan.folder, "cpu"), plan.run.pack.find_rows(scores.ids)
    with torch.no_grad():
        logits = member.network(torch.from_numpy(plan.run.pack.images(rows[:32])))
    np.testing.assert_allclose(logits.numpy(), scores.logits[:32], atol=1e-4)


def test_subcell_without_its_weights_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"of 'group-Inside': subcell starts from its published weights; fetch https://"
    ):
        plan_group(tmp_path, "training.backbone=subcell", "training.frozen=true")


def test_a_package_of_another_checksum_than_the_recipe_asks_for_is_refused(tmp_path: Path) -> None:
    sets = ["training.backbone=tf_efficientnet_lite0", "training.weights=package:efficientnet_lite0"]
    with pytest.raises(UserError, match=r"SHA-256 is 5793.*, and training\.weights_sha256 asks for 00000000"):
        plan_group(tmp_path, *sets, "training.weights_sha256='00000000'")
