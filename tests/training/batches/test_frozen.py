"""Frozen backbones: run once, kept, and the finished member scores images as any other."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import write_tiny
from torch import nn

from hpa_hier.data.pack.pack import ImagePack
from hpa_hier.errors import UserError
from hpa_hier.files.faults.machine import describe_refusal
from hpa_hier.members.nodes import find_member
from hpa_hier.members.score import Member
from hpa_hier.models.backbones.create import Backbone
from hpa_hier.models.network import Normalise
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe import MemberSettings
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.training.batches import frozen
from hpa_hier.training.plan import Plan, plan_training
from hpa_hier.training.train_member import TrainOptions, train_member

QUIET = TrainOptions(device="cpu", lines=False)


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Plan]:
    """Two members on one frozen backbone, and one that trains a backbone of its own, which the others start from."""
    folder = tmp_path_factory.mktemp("frozen")
    recipe = load_recipe(str(write_tiny(folder, training={"epochs": 2})))
    start = plan_training(start_run(recipe), find_member(recipe, "leaf"))
    train_member(start, QUIET)
    weights = str(start.folder / "model.safetensors")
    members = [
        {"name": "flat", "level": "leaf"},
        {
            "name": "chain",
            "level": "all",
            "training": {"head": "chain", "mlp": {"layers": 0}, "vectors": "normal_scores"},
        },
    ]
    training = {"epochs": 2, "frozen": True, "weights": weights, "mlp": {"hidden": 16, "layers": 1}}
    recipe = load_recipe(str(write_tiny(folder, training=training, members=members)))
    run = start_run(recipe)
    return {"start": start, **{member.name: plan_training(run, member) for member in recipe.members}}


def features_of(plan: Plan) -> list[Path]:
    return sorted((plan.run.folder / "features").glob("*.npy"))


def test_a_backbone_is_run_once_for_all_members_that_start_from_it(
    plans: dict[str, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_member(plans["flat"], QUIET)
    (kept,) = features_of(plans["flat"])
    before = kept.stat().st_mtime_ns

    def never(*_: object) -> None:
        raise AssertionError("the backbone was run again")

    monkeypatch.setattr(frozen, "score_rows", never)
    train_member(plans["chain"], QUIET)
    assert features_of(plans["chain"]) == [kept]
    assert kept.stat().st_mtime_ns == before
    assert np.load(kept).shape == (160, 128)


@pytest.mark.parametrize("name", ["flat", "chain"])
def test_logits_of_images_are_those_of_the_kept_features(plans: dict[str, Plan], name: str) -> None:
    plan = plans[name]
    train_member(plan, QUIET)
    member = Member.load(plan.folder, "cpu")
    kept = np.load(plan.folder / "scores.npz", allow_pickle=False)  # computed from features
    rows = plan.run.pack.find_rows(kept["ids"].tolist())
    np.testing.assert_array_equal(member.logits(plan.run.pack.images(rows)), kept["logits"])
    features = np.load(features_of(plan)[0])[rows]
    with torch.inference_mode():
        np.testing.assert_allclose(member.network.head(torch.from_numpy(features)), kept["logits"], atol=1e-5)


def test_a_frozen_backbone_keeps_the_weights_that_it_started_from(plans: dict[str, Plan]) -> None:
    train_member(plans["flat"], QUIET)
    start, frozen_one = (Member.load(plans[name].folder, "cpu").network.backbone for name in ("start", "flat"))
    for name, weights in start.state_dict().items():
        assert torch.equal(weights, frozen_one.state_dict()[name]), name


def test_a_frozen_backbone_without_weights_to_start_from_is_refused(plans: dict[str, Plan]) -> None:
    run = plans["flat"].run
    settings = {"weights": None, "frozen": True}
    with pytest.raises(
        UserError, match=r"training\.frozen: the backbone of 'new' would stay untrained; set training\.pre"
    ):
        plan_training(run, MemberSettings(name="new", level="leaf", training=settings))


def test_kept_features_that_are_damaged_are_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "f.npy").write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"f\.npy: damaged .*; remove it, and it is made again"):
        frozen.open_features(tmp_path / "f.npy", 2, 3)
    np.save(tmp_path / "f.npy", np.zeros((2, 4), np.float32))
    with pytest.raises(UserError, match=r"f\.npy: holds \(2, 4\), needed is \(2, 3\); remove it"):
        frozen.open_features(tmp_path / "f.npy", 2, 3)


@pytest.mark.parametrize("training", [{"sizes": [32, 48]}, {"augment": {"mixing": "cutmix"}}])
def test_what_varies_images_is_refused_where_features_are_kept(
    plans: dict[str, Plan], training: dict[str, object]
) -> None:
    with pytest.raises(UserError, match="has no effect on a frozen backbone; leave it out"):
        plan_training(plans["flat"].run, MemberSettings(name="new", level="leaf", training=training))


def test_how_vectors_are_scaled_is_refused_where_there_are_only_images(plans: dict[str, Plan]) -> None:
    member = MemberSettings(name="new", level="leaf", training={"frozen": False, "vectors": "both"})
    with pytest.raises(UserError, match=r"training\.vectors: has no effect on images, which .* holds; leave it out"):
        plan_training(plans["flat"].run, member)


@pytest.mark.parametrize("reserves", [True, False])
def test_space_is_allocated_before_it_is_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reserves: bool
) -> None:
    if not reserves:
        monkeypatch.delattr(frozen.os, "posix_fallocate", raising=False)  # as on a Mac
    elif not hasattr(frozen.os, "posix_fallocate"):
        pytest.skip("this system reserves no space")
    path = tmp_path / "features.npy"
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(3000, 100))
    frozen._allocate(path)
    assert path.stat().st_blocks * 512 >= path.stat().st_size  # no hole, in which a full disk would be a bus error
    array[-1] = 1
    array.flush()
    np.testing.assert_array_equal(np.load(path)[-1], 1)


def test_a_full_disk_is_told_before_a_feature_is_computed_and_leaves_nothing(
    plans: dict[str, Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    pack, device = plans["flat"].run.pack, torch.device("cpu")
    assert isinstance(pack, ImagePack)
    monkeypatch.setattr(frozen.os, "posix_fallocate", refuse, raising=False)
    monkeypatch.setattr(frozen, "score_rows", pytest.fail)
    channels = len(pack.channels)
    normalise = Normalise(np.zeros(channels), np.ones(channels))
    with pytest.raises(OSError, match=r"No space left on device: .*\.npy") as told:
        frozen.cached_features(tmp_path, pack, normalise, Backbone(nn.Flatten(), 7), device)
    line = describe_refusal(told.value)
    assert line is not None
    assert line.endswith(".npy: No space left on device; make room on the disk; what was finished is kept")
    assert [path.suffix for path in tmp_path.iterdir()] in ([".lock"], [])
