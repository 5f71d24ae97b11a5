"""Training steps: groups of weights, frozen backbones, accumulated batches, and images that the device moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from tiny_run import plan_tiny, train_tiny, trained_weights, untrained_weights, write_tiny

from hpa_hier.errors import UserError
from hpa_hier.members.nodes import find_member
from hpa_hier.models.augment.warp import Draws
from hpa_hier.models.backbones.small_cnn import SmallCnn
from hpa_hier.models.heads.head import Flat
from hpa_hier.models.losses.elementwise import bce
from hpa_hier.models.network import Network, Normalise
from hpa_hier.runs.manifest import read_manifest
from hpa_hier.runs.run import Part
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.settings.training import TrainingSettings
from hpa_hier.training.batches.images import Augmentation, AugmentedImages
from hpa_hier.training.batches.order import Batch, TrainingBatches
from hpa_hier.training.loop.module import Length, Training
from hpa_hier.training.loop.trainer import make_trainer, silence_lightning
from hpa_hier.training.plan import plan_training
from hpa_hier.training.train_member import TrainOptions, train_member


def make_training(backbone: torch.nn.Module | None = None, **settings: object) -> Training:
    """Make a training of ten steps on images of two channels."""
    torch.manual_seed(0)
    backbone = backbone or SmallCnn(2, 8)
    head = Flat(8 if isinstance(backbone, torch.nn.Sequential) else backbone.num_features, np.full(3, 0.2), 0.0)
    network = Network(backbone, head, Normalise(np.full(2, 40.0), np.full(2, 20.0)))
    nothing = np.zeros((4, 3), bool)
    length, watched = Length(10, 5), Part(np.arange(4), nothing, ~nothing)
    return Training(network, bce, TrainingSettings.model_validate(settings), length, watched, 0)


def test_backbone_and_head_learn_at_their_own_rates_and_every_weight_stands_in_one_group() -> None:
    module = make_training(learning_rate=1e-2, backbone_rate=0.1)
    optimizer = module.configure_optimizers()["optimizer"]
    rate_of = {id(weights): group["max_lr"] for group in optimizer.param_groups for weights in group["params"]}
    decay_of = {id(weights): group["weight_decay"] for group in optimizer.param_groups for weights in group["params"]}
    named = dict(module.network.named_parameters())
    assert len(rate_of) == len(named) == sum(len(group["params"]) for group in optimizer.param_groups)
    for name, weights in named.items():
        assert rate_of[id(weights)] == pytest.approx(1e-3 if name.startswith("backbone") else 1e-2)
        assert decay_of[id(weights)] == (1e-2 if weights.ndim > 1 else 0)


@pytest.mark.parametrize(("name", "kind"), [("adamw", "AdamW"), ("adam", "Adam"), ("sgd", "SGD")])
def test_the_recipe_names_the_optimiser(name: str, kind: str) -> None:
    optimizer = make_training(schedule="constant", optimizer=name).configure_optimizers()
    assert type(optimizer).__name__ == kind


def test_neither_weights_nor_running_statistics_of_a_frozen_backbone_move_and_the_head_learns(tmp_path: Path) -> None:
    frozen = train_tiny(tmp_path / "frozen", epochs=2, freeze_epochs=2, stop_on="none")
    tuned = train_tiny(tmp_path / "tuned", epochs=2, freeze_epochs=1, stop_on="none")
    start, still, moved = untrained_weights(frozen), trained_weights(frozen), trained_weights(tuned)
    backbone = [name for name in start if name.startswith("backbone")]
    assert any(name.endswith("running_var") for name in backbone)
    assert all(torch.equal(still[name], start[name]) for name in backbone)
    assert not any(torch.equal(moved[name], start[name]) for name in backbone)
    assert not torch.equal(still["head.linear.weight"], start["head.linear.weight"])


def test_a_frozen_backbone_gets_no_gradients(tmp_path: Path) -> None:
    module = make_training(freeze_epochs=1, precision="32-true")
    fit(module, tmp_path, [make_batch(np.arange(4))] * 5)
    gradients = {name: weights.grad for name, weights in module.network.named_parameters()}
    assert {name.split(".")[0] for name, gradient in gradients.items() if gradient is not None} == {"head"}
    assert not module.network.backbone.training


@pytest.mark.parametrize("some_unknown", [False, True])
def test_accumulated_batches_make_the_step_of_their_union_also_where_entries_are_unknown(
    tmp_path: Path, some_unknown: bool
) -> None:
    known = torch.ones(12, 3)
    if some_unknown:
        known[1:4], known[5, 1:] = 0, 0  # a batch that tells little, beside one that tells all
    moved = []
    for batches, accumulate in ([np.arange(12)], 1), (np.arange(12).reshape(3, 4), 3):
        torch.manual_seed(0)
        flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2 * 40 * 40, 8), torch.nn.Tanh())
        module = make_training(flat, optimizer="sgd", schedule="constant", accumulate=accumulate, precision="32-true")
        start = {name: weights.clone() for name, weights in module.network.named_parameters()}
        fit(module, tmp_path, [make_batch(rows)._replace(known=known[rows]) for rows in batches])
        moved.append({name: weights - start[name] for name, weights in module.network.named_parameters()})
    for name, whole in moved[0].items():
        assert whole.norm() > 0
        torch.testing.assert_close(moved[1][name], whole, rtol=1e-3, atol=1e-8)


def test_two_accumulated_batches_make_the_step_of_one_twice_as_large(tmp_path: Path) -> None:
    plain = {"epochs": 1, "dropout": 0.0, "backbone": "two_conv_cnn", "precision": "32-true", "stop_on": "none"}
    whole = train_tiny(tmp_path / "a", **plain, batch_size=16, max_steps=3, schedule="constant")
    halves = train_tiny(tmp_path / "b", **plain, batch_size=8, max_steps=3, schedule="constant", accumulate=2)
    one, other = trained_weights(whole), trained_weights(halves)
    start = untrained_weights(whole)
    for name in ("head.linear.weight", "backbone.maps.0.weight", "backbone.dense.0.bias"):
        moved = (one[name] - start[name]).norm()
        assert (one[name] - other[name]).norm() < 0.05 * moved
    manifests = [read_manifest(plan.folder) for plan in (whole, halves)]
    assert [(m.steps, m.images_seen) for m in manifests] == [(3, 48), (3, 48)]


def test_more_batches_for_a_step_than_an_epoch_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training\.accumulate: 8 batches make a step, and an epoch has 7; lower it"):
        train_tiny(tmp_path, accumulate=8)


def test_weights_by_hand_name_nodes_of_the_taxonomy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training\.class_weights: .* has no node 'Ring'; did you mean 'Rings'\?"):
        plan_tiny(tmp_path, loss="class_weighted", class_weights={"Ring": 2.0})


@pytest.mark.parametrize("augment", [{"only_minority": True}, {"mixing": "union_mean"}])
def test_without_minority_leaves_nothing_is_left_to_vary_and_training_says_so(
    tmp_path: Path, augment: dict[str, object]
) -> None:
    recipe = load_recipe(str(write_tiny(tmp_path, partition={"majority_min_images": 1}, training={"augment": augment})))
    plan = plan_training(start_run(recipe), find_member(recipe, "leaf"))
    with pytest.raises(UserError, match=r"training\.augment: 0 training images carry a minority leaf"):
        train_member(plan, TrainOptions(device="cpu", lines=False))


def test_a_device_that_warps_itself_sees_the_loss_that_the_processor_sees() -> None:
    varied = {"rotate": 20, "gamma": 0.2, "crop": 0.7, "elastic": 0.02, "mixing": "union_mean", "mixing_share": 1}
    settings = TrainingSettings.model_validate({"batch_size": 8, "sizes": (32, 48), "augment": varied})
    module = make_training().eval()
    losses = []
    for on_device in (False, True):
        part = Part(np.arange(24), *_labels(24))
        reader = AugmentedImages(Smooth(), part, Augmentation(settings, 0, on_device))
        batches = TrainingBatches(reader, np.ones(24, np.int64), settings, 0)
        # The library's own way onto a device must leave the batch a batch.
        moved = [move_data_to_device(batch, torch.device("cpu")) for batch in batches]
        losses.append([module.training_step(batch, 0).item() for batch in moved])
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.01)
    assert len(set(losses[0])) == 3


def make_batch(rows: np.ndarray) -> Batch:
    """Make a batch of waves with labels at random."""
    labels = torch.from_numpy(_labels(12)[0][rows].astype(np.float32))
    return Batch(torch.from_numpy(Smooth().images(rows)), Draws(), labels, torch.ones_like(labels))


def fit(module: Training, folder: Path, batches: list[Batch]) -> None:
    """Train for one epoch of these batches."""
    silence_lightning()
    settings = TrainingSettings(accumulate=module._settings.accumulate, precision="32-true")
    loader = torch.utils.data.DataLoader(batches, batch_size=None)
    make_trainer(settings, torch.device("cpu"), 1, []).fit(module, loader)


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
