"""Measured precision: kept for the run, without effect on what is trained, and the same after an interruption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import write_tiny

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json
from hpa_hier.members.nodes import find_member
from hpa_hier.models.backbones.small_cnn import SmallCnn
from hpa_hier.models.heads.head import Flat
from hpa_hier.models.network import Network, Normalise
from hpa_hier.models.precision import Precision
from hpa_hier.runs.manifest import read_manifest
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.settings.training import TrainingSettings
from hpa_hier.training import train_member as training
from hpa_hier.training.loop import measured
from hpa_hier.training.loop.checkpoint import OURS, read_checkpoint
from hpa_hier.training.loop.measured import PassTimes, choose_precision, time_passes
from hpa_hier.training.loop.stopping import Interrupted
from hpa_hier.training.plan import plan_training

CPU, SHAPE = torch.device("cpu"), (2, 4, 32, 32)


def network() -> Network:
    torch.manual_seed(0)
    backbone = SmallCnn(4, 4)
    head = Flat(backbone.num_features, np.full(3, 0.5), 0.5)
    return Network(backbone, head, Normalise(np.zeros(4), np.ones(4)))


@pytest.fixture
def with_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpa_hier.models.precision.processor_has_bf16", lambda: True)
    monkeypatch.setattr(measured, "processor_has_bf16", lambda: True)


@pytest.mark.usefixtures("with_bf16")
@pytest.mark.parametrize(
    ("backbone", "times", "wanted"),
    [
        ("small_cnn", PassTimes(2.0, 1.0), "bf16-mixed"),
        ("small_cnn", PassTimes(1.0, 1.1), "bf16-mixed"),  # noise does not move what is usual
        ("small_cnn", PassTimes(1.0, 5.0), "32-true"),
        ("convnext_atto", PassTimes(1.1, 1.0), "32-true"),
        ("convnext_atto", PassTimes(1.3, 1.0), "bf16-mixed"),
    ],
)
def test_the_usual_precision_gives_way_to_a_clearly_faster_one(
    backbone: str, times: PassTimes, wanted: Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "time_passes", lambda *_: times)
    settings = TrainingSettings(backbone=backbone)
    assert choose_precision(settings, CPU, 1000, network(), SHAPE, tmp_path) == wanted
    monkeypatch.setattr(measured, "time_passes", lambda *_: PassTimes(1.0, 1.0))  # not asked again
    assert choose_precision(settings, CPU, 1000, network(), SHAPE, tmp_path) == wanted
    assert len(read_json(tmp_path / measured.KEPT)) == 1
    choose_precision(settings, CPU, 1000, network(), (2, 4, 64, 64), tmp_path)
    assert len(read_json(tmp_path / measured.KEPT)) == 2


@pytest.mark.usefixtures("with_bf16")
@pytest.mark.parametrize("settings", [TrainingSettings(precision="32-true"), TrainingSettings(frozen=True)])
def test_nothing_is_measured_where_it_is_not_asked_or_cannot_pay(settings: TrainingSettings, tmp_path: Path) -> None:
    assert choose_precision(settings, CPU, 1000, network(), SHAPE, tmp_path) == "32-true"
    assert choose_precision(TrainingSettings(), CPU, 20, network(), SHAPE, tmp_path) == "bf16-mixed"
    assert not (tmp_path / measured.KEPT).exists()


@pytest.mark.usefixtures("with_bf16")
def test_a_damaged_record_says_so(tmp_path: Path) -> None:
    (tmp_path / measured.KEPT).write_text("[]")
    with pytest.raises(UserError, match=r"precision\.json"):
        choose_precision(TrainingSettings(), CPU, 1000, network(), SHAPE, tmp_path)


def test_timing_leaves_weights_statistics_and_random_numbers_as_they_are() -> None:
    timed = network()
    before = {name: values.clone() for name, values in timed.state_dict().items()}
    state = torch.get_rng_state()
    times = time_passes(timed, SHAPE)
    assert min(times.float32, times.bf16) > 0
    assert all(torch.equal(values, before[name]) for name, values in timed.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(weights.grad is None for weights in timed.parameters())


@pytest.mark.parametrize("at_start", ["32-true", "bf16-mixed"])
def test_a_resumed_training_keeps_the_precision_that_it_began_with(
    at_start: Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(str(write_tiny(tmp_path, training={"epochs": 2})), ())
    plan = plan_training(start_run(recipe), find_member(recipe, "leaf"))

    def choose(kept: Precision) -> None:
        monkeypatch.setattr(training, "choose_precision", lambda *_: kept)

    def stop(share: float) -> None:
        if share > 0.5:
            raise Interrupted  # after the first epoch's checkpoint

    choose(at_start)
    with pytest.raises(Interrupted):
        training.train_member(plan, training.TrainOptions("cpu", lines=False, report=stop))
    assert read_checkpoint(plan.checkpoint)[OURS]["precision"] == at_start
    choose("32-true" if at_start == "bf16-mixed" else "bf16-mixed")
    training.train_member(plan, training.TrainOptions("cpu", lines=False))
    assert read_manifest(plan.folder).precision == at_start
