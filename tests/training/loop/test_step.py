"""Step: compiled or not it gives the same; every head and loss stays on a GPU, pretended where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from every_kind import every_head_and_loss, write_antibodies
from pretended_gpu import move
from pydantic import ValidationError
from tiny_run import plan_tiny, train_tiny, trained_weights
from torch._subclasses.fake_tensor import FakeTensorMode

from hpa_hier.models.augment.warp import augment_batch
from hpa_hier.settings.training import TrainingSettings
from hpa_hier.training.assemble import Assembly, assemble
from hpa_hier.training.loop import step
from hpa_hier.training.loop.step import compute_loss, make_step
from hpa_hier.training.train_member import TrainOptions, train_member

KINDS: dict[str, dict[str, Any]] = {
    **every_head_and_loss(),
    "bent": {"augment": {"gamma": 0.2, "elastic": 0.02, "crop": 0.5}, "sizes": [32, 48]},
    "auxiliary": {"auxiliary": 0.5, "pooling": "attention", "dense": [8]},
    "contiguous": {"channels_last": False},
}
FEW = ("arcface", "levels-max_constraint", "chain-focal", "bent")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("step")
    write_antibodies(folder)
    return folder


def _assemble(folder: Path, **settings: object) -> Assembly:
    settings = {"width": 4, "batch_size": 8, "epochs": 1, "keep_on_device": "always", **settings}
    return assemble(plan_tiny(folder, **settings), torch.device("cpu"), {}, "")


@pytest.mark.filterwarnings("ignore:CUDA is not available")
@pytest.mark.parametrize("kind", [one if one in FEW else pytest.param(one, marks=pytest.mark.slow) for one in KINDS])
def test_no_step_of_any_head_or_loss_leaves_the_gpu(folder: Path, kind: str) -> None:
    made = _assemble(folder, **KINDS[kind])
    batch, module = next(iter(made.batches)), made.module
    with FakeTensorMode(allow_non_fake_inputs=True):
        move(module)
        batch = move(batch)
        samples = augment_batch(batch.samples, batch.draws, batch.side)
        for first_stage in (True, False):
            with torch.autocast("cuda", torch.bfloat16):
                targets = (batch.draws.gain, batch.present, batch.known, first_stage)
                loss, _ = compute_loss(module.network, module._loss, samples, *targets)
            assert (loss.device.type, loss.shape, loss.dtype) == ("cuda", (), torch.float32)
        logits = module.network.eval().answers(module.network.logits(batch.samples))
        nothing = torch.zeros(logits.shape, device="cuda")
        assert module._watched_loss(logits, nothing, nothing).device.type == "cuda"


def test_a_tensor_that_was_left_behind_is_found() -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):
        there = move(torch.ones(2))
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            there + torch.ones(2)


def test_a_compiled_step_trains_to_the_same_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, ...]] = []

    def trace(settings: TrainingSettings, device: torch.device, steps: int) -> step.Step:
        # What torch.compile makes of the code is traced and run; compiling it to C++ takes a minute and rounds anew.
        made = make_step(settings, device, steps, backend="eager")
        calls.append((settings.compile, made is compute_loss))
        return made

    monkeypatch.setattr("hpa_hier.training.loop.module.make_step", trace)
    settings = {"width": 4, "epochs": 1, "precision": "32-true", "stop_on": "none"}
    plain = trained_weights(train_tiny(folder, **settings))
    compiled = trained_weights(train_tiny(folder, **settings, compile="always", cuda_graphs=True))
    for name, weights in plain.items():
        torch.testing.assert_close(compiled[name], weights, rtol=1e-5, atol=1e-6)
    assert calls == [("never", True), ("always", False)]


def test_on_a_processor_nothing_is_compiled_but_where_it_is_asked_for() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    settings = [TrainingSettings(compile=which) for which in ("never", "on_gpu", "always")]
    assert [make_step(one, cpu, 9000) is compute_loss for one in settings] == [True, True, False]
    assert [make_step(one, cuda, 9000) is compute_loss for one in settings] == [True, False, False]
    assert [make_step(one, cuda, 90) is compute_loss for one in settings] == [True, True, False]  # too short to pay


def test_a_machine_that_cannot_compile_says_so_once_and_trains(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fail)
    train_tiny(folder, width=4, epochs=1, compile="always")
    lines = [line for line in capsys.readouterr().err.splitlines() if "compile" in line]
    assert lines == ["training.compile: this machine cannot (Failed to find C compiler); it trains without"]


def test_graphs_without_compiling_are_refused() -> None:
    with pytest.raises(ValidationError, match="cuda_graphs are made of compiled passes; set compile to on_gpu"):
        TrainingSettings(cuda_graphs=True)


@pytest.mark.gpu
def test_compiled_passes_and_graphs_train_on_a_gpu(folder: Path) -> None:
    settings = {"width": 8, "epochs": 4, "compile": "on_gpu", "cuda_graphs": True, "ema": 0.9}
    plan = plan_tiny(folder, **settings)
    assert "leaf: 4 nodes, 4 epochs" in train_member(plan, TrainOptions("cuda", restart=True, lines=False))
