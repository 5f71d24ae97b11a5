"""Optimising: rates and their courses, groups, frozen steps, moving averages, and what is watched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from sklearn.metrics import f1_score
from tiny_run import write_tiny

from hpa_hier.errors import UserError
from hpa_hier.members.nodes import find_member
from hpa_hier.models.augment.mixing import Mixing
from hpa_hier.models.augment.warp import Ranges
from hpa_hier.models.backbones.small_cnn import SmallCnn
from hpa_hier.models.heads.flat import Flat
from hpa_hier.models.losses.elementwise import bce
from hpa_hier.models.network import Network
from hpa_hier.runs.manifest import read_manifest
from hpa_hier.runs.part import Part
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.training.batches.images import BatchSampling, TrainingBatches
from hpa_hier.training.loop.history import Watch
from hpa_hier.training.loop.macro_f1 import sample_f1
from hpa_hier.training.loop.module import Optimising, Training, follow
from hpa_hier.training.loop.schedule import lr_schedule, warmup_cosine
from hpa_hier.training.plan import Plan, plan_training
from hpa_hier.training.train_member import TrainOptions, train_member


def training(optimising: Optimising) -> Training:
    torch.manual_seed(0)
    backbone = SmallCnn(2, 8)
    head = Flat(backbone.num_features, np.full(3, 0.2), 0.0)
    network = Network(backbone, head, np.full(2, 40.0), np.full(2, 20.0))
    nothing = np.zeros((4, 3), bool)
    return Training(network, bce, optimising, Part(np.arange(4), nothing, ~nothing), 0)


def plan_in(folder: Path, **training: object) -> Plan:
    recipe = load_recipe(str(write_tiny(folder, training=training)))
    return plan_training(start_run(recipe), find_member(recipe, "leaf"))


def trained(folder: Path, **training: object) -> Plan:
    plan = plan_in(folder, **training)
    train_member(plan, TrainOptions(device="cpu", lines=False, restart=True))
    return plan


def test_the_warm_up_rises_along_a_line_and_the_cosine_falls_to_nothing() -> None:
    rates = np.array([warmup_cosine(step, 200, 0.1) for step in range(201)])
    np.testing.assert_allclose(rates[:20], np.arange(1, 21) / 20)
    falling = (1 + np.cos(np.pi * (np.arange(20, 201) - 20) / 180)) / 2
    np.testing.assert_allclose(rates[20:], falling, atol=1e-12)
    assert warmup_cosine(0, 200, 0.0) == 1


@pytest.mark.parametrize("name", ["one_cycle", "warmup_cosine", "constant"])
def test_a_frozen_backbone_has_rate_0_and_then_the_course_that_it_would_have_had(name: str) -> None:
    plain, late = lr_schedule(name, 50), lr_schedule(name, 50, frozen_steps=20)
    assert {late(step) for step in range(20)} == {0.0}
    assert [late(step) for step in range(20, 50)] == [plain(step) for step in range(20, 50)]


def test_backbone_and_head_learn_at_their_own_rates_and_every_weight_stands_in_one_group() -> None:
    module = training(Optimising(1e-2, 1e-2, "one_cycle", 10, backbone_rate=0.1))
    optimizer = module.configure_optimizers()["optimizer"]
    rate_of = {id(weights): group["initial_lr"] for group in optimizer.param_groups for weights in group["params"]}
    decay_of = {id(weights): group["weight_decay"] for group in optimizer.param_groups for weights in group["params"]}
    named = dict(module.network.named_parameters())
    assert len(rate_of) == len(named) == sum(len(group["params"]) for group in optimizer.param_groups)
    for name, weights in named.items():
        assert rate_of[id(weights)] == pytest.approx(1e-3 if name.startswith("backbone") else 1e-2)
        assert decay_of[id(weights)] == (1e-2 if weights.ndim > 1 else 0)


@pytest.mark.parametrize(("name", "kind"), [("adamw", "AdamW"), ("adam", "Adam"), ("sgd", "SGD")])
def test_the_recipe_names_the_optimiser(name: str, kind: str) -> None:
    optimizer = training(Optimising(1e-2, 1e-2, "constant", 10, optimizer=name)).configure_optimizers()
    assert type(optimizer).__name__ == kind


def test_a_frozen_backbone_keeps_its_weights_to_the_bit_and_the_head_learns(tmp_path: Path) -> None:
    frozen = trained(tmp_path / "frozen", epochs=2, freeze_epochs=2, stop_on="none")
    tuned = trained(tmp_path / "tuned", epochs=2, freeze_epochs=1, stop_on="none")
    weights = [_weights(plan) for plan in (frozen, tuned)]
    start = _untrained(frozen)
    convolutions = [name for name, value in start.items() if name.startswith("backbone") and value.ndim == 4]
    assert all(torch.equal(weights[0][name], start[name]) for name in convolutions)
    assert not any(torch.equal(weights[1][name], start[name]) for name in convolutions)
    assert not torch.equal(weights[0]["head.linear.weight"], start["head.linear.weight"])


def test_the_moving_average_is_its_formula_and_counts_are_copied() -> None:
    old, new = (torch.nn.BatchNorm2d(2) for _ in range(2))
    with torch.no_grad():
        new.weight.fill_(3.0)
        new.num_batches_tracked.fill_(7)
    follow(old, new, 0.9)
    torch.testing.assert_close(old.weight.detach(), torch.full((2,), 0.9 + 0.1 * 3.0))
    assert int(old.num_batches_tracked) == 7


def test_with_ema_the_average_is_kept_and_the_weights_themselves_go_their_way(tmp_path: Path) -> None:
    still = trained(tmp_path / "a", epochs=1, stop_on="none")
    averaged = trained(tmp_path / "b", epochs=1, stop_on="none", ema=0.5)
    one, other = _weights(still), _weights(averaged)
    assert set(one) == set(other)
    assert not torch.equal(one["head.linear.weight"], other["head.linear.weight"])
    start = _untrained(still)["head.linear.weight"]
    ways = [(weights["head.linear.weight"] - start).norm() for weights in (one, other)]
    assert 0.2 * ways[0] < ways[1] < ways[0]


def test_two_accumulated_batches_make_the_step_of_one_twice_as_large(tmp_path: Path) -> None:
    plain = {"epochs": 1, "dropout": 0.0, "backbone": "two_conv_cnn", "precision": "32-true", "stop_on": "none"}
    whole = trained(tmp_path / "a", **plain, batch_size=16, max_steps=3, schedule="constant")
    halves = trained(tmp_path / "b", **plain, batch_size=8, max_steps=3, schedule="constant", accumulate=2)
    one, other = _weights(whole), _weights(halves)
    start = _untrained(whole)
    for name in ("head.linear.weight", "backbone.maps.0.weight", "backbone.dense.0.bias"):
        moved = (one[name] - start[name]).norm()
        assert (one[name] - other[name]).norm() < 0.05 * moved
    manifests = [read_manifest(plan.folder) for plan in (whole, halves)]
    assert [(m.steps, m.images_seen) for m in manifests] == [(3, 48), (3, 48)]


def test_more_batches_for_a_step_than_an_epoch_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training\.accumulate: 8 batches make a step, and an epoch has 7; lower it"):
        trained(tmp_path, accumulate=8)


def test_sample_f1_is_sklearns_at_each_nodes_best_threshold() -> None:
    generator = np.random.default_rng(0)
    logits, present = generator.normal(size=(80, 5)), generator.random((80, 5)) < 0.4
    logits = logits + present
    called = np.zeros_like(present)
    for node in range(5):
        cuts = -np.sort(-logits[:, node])  # of equally good ones, the highest
        scores = [f1_score(present[:, node], logits[:, node] >= cut) for cut in cuts]
        called[:, node] = logits[:, node] >= cuts[int(np.argmax(scores))]
    told = (present | called).any(axis=1)
    expected = f1_score(present[told], called[told], average="samples", zero_division=0)
    assert sample_f1(logits, present, np.ones_like(present)) == pytest.approx(expected)


def test_sample_f1_does_not_see_what_is_unknown() -> None:
    generator = np.random.default_rng(1)
    logits, present, known = generator.normal(size=(40, 4)), *(generator.random((2, 40, 4)) < 0.6)
    assert sample_f1(logits, present, known) == sample_f1(logits, np.where(known, present, ~present), known)
    assert sample_f1(logits, present, np.zeros_like(known)) == 0


def test_macro_and_sample_f1_can_be_watched_together_and_stand_in_the_history(tmp_path: Path) -> None:
    watch = Watch("macro_sample_f1", 10)
    assert watch.better(0.6, 0.5)
    assert not watch.better(0.4, 0.5)
    plan = trained(tmp_path, stop_on="macro_sample_f1")
    header, *rows = (line.split(",") for line in (plan.folder / "history.csv").read_text().splitlines())
    watched = [float(row[header.index("calibration_macro_sample_f1")]) for row in rows]
    assert read_manifest(plan.folder).best_epoch == 1 + int(np.argmax(watched))
    assert header[-1] == "seconds"


def test_weights_by_hand_name_nodes_of_the_taxonomy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training\.class_weights: .* has no node 'Ring'; did you mean 'Rings'\?"):
        plan_in(tmp_path, loss="class_weighted", class_weights={"Ring": 2.0})


@pytest.mark.parametrize("augment", [{"only_minority": True}, {"mixing": "union_mean"}])
def test_without_minority_leaves_nothing_is_left_to_vary_and_training_says_so(
    tmp_path: Path, augment: dict[str, object]
) -> None:
    recipe = load_recipe(str(write_tiny(tmp_path, partition={"majority_min_images": 1}, training={"augment": augment})))
    plan = plan_training(start_run(recipe), find_member(recipe, "leaf"))
    with pytest.raises(UserError, match=r"training\.augment: 0 training images carry a minority leaf"):
        train_member(plan, TrainOptions(device="cpu", lines=False))


def _weights(plan: Plan) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(plan.folder / "model.safetensors")


def _untrained(plan: Plan) -> dict[str, torch.Tensor]:
    from hpa_hier.training.assemble import assemble

    return assemble(plan, torch.device("cpu"), {}, "").module.network.state_dict()


def test_a_device_that_warps_itself_sees_the_loss_that_the_processor_sees() -> None:
    ranges = Ranges(True, rotate=20, scale=0.1, shift=0.1, gain=0.2, gamma=0.2, crop=0.7, elastic=0.02)
    module = training(Optimising(1e-3, 0.0, "constant", 10)).eval()
    losses = []
    for on_device in (False, True):
        dealing = BatchSampling(0, 8, ranges, on_device, sizes=(32, 48), mixing=Mixing("union_mean", 1.0))
        dealt = TrainingBatches(Smooth(), Part(np.arange(24), *_labels(24)), np.ones(24, np.int64), dealing)
        # The library's own way onto a device must leave the batch a batch.
        moved = [move_data_to_device(batch, torch.device("cpu")) for batch in dealt]
        losses.append([module.training_step(batch, 0).item() for batch in moved])
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.01)
    assert len(set(losses[0])) == 3


class Smooth:
    """Images of waves that answer as a pack does."""

    channels, size = ("red", "green"), 40

    def images(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        down, across = np.mgrid[:40, :40] / 6
        waves = 127 + 100 * np.sin(down[None] + rows[:, None, None]) * np.cos(
            across[None] * (1 + rows[:, None, None] % 2)
        )
        stacked = np.stack([waves, waves[:, ::-1]], axis=1).astype(np.uint8)
        if out is None:
            return stacked
        out[:] = stacked
        return out


def _labels(count: int) -> tuple[np.ndarray, np.ndarray]:
    present, known = np.random.default_rng(3).random((2, count, 3)) < 0.5
    return present, known
