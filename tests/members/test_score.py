"""Scoring: the same image gets the same bits, whatever stands beside it; what was changed is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import SIZE, write_tiny

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json
from hpa_hier.files.remote.cache import FOLDER
from hpa_hier.files.shipped import pretrained_folder
from hpa_hier.members.devices import find_device
from hpa_hier.members.nodes import find_member
from hpa_hier.members.score import COMPUTE_BATCH, Member, score
from hpa_hier.models.backbones.small_cnn import SmallCnn
from hpa_hier.models.heads.head import Flat
from hpa_hier.models.network import Network, Normalise
from hpa_hier.runs.manifest import read_manifest
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.training.plan import Plan, plan_training
from hpa_hier.training.train_member import TrainOptions, train_member

QUIET = TrainOptions(device="cpu", lines=False)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    recipe = load_recipe(str(write_tiny(tmp_path_factory.mktemp("score"), training={"epochs": 1})))
    plan = plan_training(start_run(recipe), find_member(recipe, "leaf"))
    train_member(plan, QUIET)
    return plan


@pytest.mark.parametrize(("size", "channels", "width"), [(32, 4, 8), (65, 3, 16), (64, 4, 32)])
def test_logits_are_the_same_bits_whatever_the_batch_size_and_order(size: int, channels: int, width: int) -> None:
    torch.manual_seed(0)
    backbone = SmallCnn(channels, width)
    head = Flat(backbone.num_features, np.full(28, 0.1), 0.0)
    network = Network(backbone, head, Normalise(np.full(channels, 90.0), np.full(channels, 50.0))).eval()
    network = network.to(memory_format=torch.channels_last)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (2 * COMPUTE_BATCH + 5, channels, size, size), dtype=np.uint8)
    cpu = torch.device("cpu")
    whole = score(network, images, 28, cpu)
    for _ in range(3):
        order = generator.permutation(len(images))
        assert np.array_equal(score(network, images[order], 28, cpu), whole[order])
    for batch in (1, 7, COMPUTE_BATCH, COMPUTE_BATCH + 1):
        parts = [score(network, images[first : first + batch], 28, cpu) for first in range(0, len(images), batch)]
        assert np.array_equal(np.concatenate(parts), whole)


def test_a_loaded_member_gives_the_scores_that_training_kept(plan: Plan) -> None:
    member = Member.load(plan.folder, "cpu")
    kept = np.load(plan.folder / "scores.npz", allow_pickle=False)
    images = plan.run.pack.images(plan.run.pack.find_rows(kept["ids"].tolist()))
    assert np.array_equal(member.logits(images), kept["logits"])
    assert (member.name, member.nodes) == ("leaf", ("Dots", "Rings", "Blobs", "Smears"))
    assert (member.channels, member.size) == (("red", "green", "blue", "yellow"), SIZE)


def test_few_images_get_the_bits_that_they_have_among_many_in_smaller_passes(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    member = Member.load(plan.folder, "cpu")
    images = np.random.default_rng(1).integers(0, 256, (COMPUTE_BATCH, 4, SIZE, SIZE), dtype=np.uint8)
    sizes: list[int] = []
    member.network.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    whole = member.logits(images)
    for count in (1, 5, COMPUTE_BATCH // 2):
        assert np.array_equal(member.logits(images[-count:]), whole[-count:])
    (kept,) = tmp_path.glob("pass-*")
    assert sizes[-1] == int(kept.read_bytes().splitlines()[-1]) < COMPUTE_BATCH
    tried = len(sizes)
    again = Member.load(plan.folder, "cpu")
    assert np.array_equal(again.logits(images[:1]), whole[:1])
    assert len(sizes) == tried


def test_no_images_give_no_rows(plan: Plan) -> None:
    assert Member.load(plan.folder, "cpu").logits(np.empty((0, 4, SIZE, SIZE), np.uint8)).shape == (0, 4)


def test_images_of_another_shape_are_refused(plan: Plan) -> None:
    with pytest.raises(UserError, match=r"'leaf' scores uint8 images of shape \(B, 4, 32, 32\), got uint8 .*\(1, 3,"):
        Member.load(plan.folder, "cpu").logits(np.zeros((1, 3, 32, 32), np.uint8))


@pytest.mark.parametrize("place", [0, 1000, -1])
def test_weights_with_one_flipped_bit_are_refused(plan: Plan, place: int) -> None:
    path = plan.folder / "model.safetensors"
    good = path.read_bytes()
    bad = bytearray(good)
    bad[place] ^= 1
    path.write_bytes(bad)
    try:
        with pytest.raises(UserError, match=r"model\.safetensors: does not match the checksum in member\.json"):
            Member.load(plan.folder, "cpu")
    finally:
        path.write_bytes(good)


def test_every_file_of_a_member_has_its_checksum(plan: Plan) -> None:
    manifest = read_manifest(plan.folder)
    expected = {"model.safetensors", "config.yaml", "taxonomy.yaml", "history.csv", "scores.npz"}
    assert set(manifest.files) == expected
    assert all(len(digest) == 64 for digest in manifest.files.values())
    assert {path.name for path in plan.folder.iterdir()} == {*expected, "member.json", "lock"}


def test_an_unfinished_member_and_a_strange_manifest_are_refused(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no finished member \(member\.json is missing\); train it first"):
        Member.load(tmp_path, "cpu")
    content = read_json(plan.folder / "member.json")
    (tmp_path / "member.json").write_text(json.dumps({**content, "nodes": 5}))
    with pytest.raises(
        UserError, match=r"member\.json: is damaged \(nodes: .*\); train the member again with --restart"
    ):
        Member.load(tmp_path, "cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "", "CPU"])
def test_a_device_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"--device {name}: "):
        find_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="--device cuda:1: this machine has no CUDA GPU; use auto or cpu"):
        find_device("cuda:1")
    assert find_device("cpu").type == "cpu"


def test_scoring_and_predicting_import_no_torchvision_which_may_not_load_beside_another_torch() -> None:
    rooms = [Path(sys.modules["hpa_hier"].__path__[0], room) for room in ("members", "models", "predict", "ensemble")]
    names = [
        ".".join(("hpa_hier", *file.relative_to(room.parent).with_suffix("").parts))
        for room in rooms
        for file in sorted(room.rglob("*.py"))
        if file.stem != "__init__"
    ]
    code = (
        f"import importlib, sys, hpa_hier\nfor name in {names}: importlib.import_module(name)\nprint(len(sys.modules))"
    )
    members = sorted(map(str, (pretrained_folder() or Path()).glob("members/*")))
    code += f"\nfrom pathlib import Path\nfor name in {members}: hpa_hier.members.score.Member.load(Path(name), 'cpu')"
    code += "\nassert not {name.split('.')[0] for name in sys.modules} & {'torchvision', 'timm', 'lightning'}"
    code += "\nassert not {'torch._dynamo', 'sympy', 'matplotlib', 'captum'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(names) > 60
    assert int(done.stdout) > 500
