"""Stopping and resuming: whatever ends a training, the weights are those of one that never stopped."""

from __future__ import annotations

import csv
import hashlib
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import finish, one_thread, start, train_command, write_tiny

from hpa_hier.errors import UserError
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.training.loop.checkpoint import ResumeCheckpoint, read_checkpoint
from hpa_hier.training.loop.stopping import Interrupted
from hpa_hier.training.plan import plan_training
from hpa_hier.training.train_member import TrainOptions, train_member

LONG = {"epochs": 6, "batch_size": 4}  # 28 steps an epoch, so that a signal finds it in the middle of one
STEPS_AN_EPOCH = 28


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("resume")


@pytest.fixture(scope="module")
def straight(folder: Path) -> Path:
    write_tiny(folder, training=LONG)
    status, printed = finish(folder / "straight.log", *flags_for(folder, "straight"))
    assert status == 0, printed
    return member_of(folder, "straight")


def flags_for(folder: Path, run: str) -> tuple[object, ...]:
    return ("--config", folder / "recipe.yaml", "--run", run, "--level", "leaf", "--device", "cpu")


def member_of(folder: Path, run: str) -> Path:
    return folder / "artifacts" / run / "members" / "leaf"


def outcome(member: Path) -> tuple[str, str, list[list[str]]]:
    """Return the digests of weights and scores, and the history without its seconds."""
    digests = [hashlib.sha256((member / name).read_bytes()).hexdigest() for name in ("model.safetensors", "scores.npz")]
    with (member / "history.csv").open() as file:
        rows = [row[:-1] for row in csv.reader(file)]
    return digests[0], digests[1], rows


def wait_for_an_epoch(history: Path) -> None:
    """Wait until the history and then the checkpoint are written again, and a little, into the epoch that follows."""
    before = written(history)
    deadline = time.monotonic() + 60
    # On a busy machine the epoch's checkpoint takes its time: before it is written, a signal still counts for its end.
    while time.monotonic() < deadline and not before < written(history) <= written(history.with_name("last.ckpt")):
        time.sleep(0.002)
    time.sleep(0.01)


def written(path: Path) -> int:
    """Return when a file was last written, in nanoseconds; 0 where there is none."""
    return path.stat().st_mtime_ns if path.exists() else 0


def send(folder: Path, run: str, number: int) -> tuple[int | None, str]:
    """Train, send a signal after the first epoch, and return the exit status and what was printed."""
    log = folder / f"{run}.log"
    process = start(log, *flags_for(folder, run))
    wait_for_an_epoch(member_of(folder, run) / "history.csv")
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(60)
    return process.exitcode, log.read_text()


@pytest.mark.parametrize(
    "signals",
    [[signal.SIGTERM], [signal.SIGKILL], [signal.SIGINT, signal.SIGKILL, signal.SIGINT]],
    ids=lambda signals: "-".join(signal.Signals(number).name for number in signals),
)
def test_an_interrupted_training_gives_the_bits_of_one_that_never_stopped(
    folder: Path, straight: Path, signals: list[int]
) -> None:
    run = "-".join(signal.Signals(number).name for number in signals)
    for number in signals:
        status, printed = send(folder, run, number)
        assert status == (-number if number == signal.SIGKILL else 130), printed
    assert finish(folder / "end.log", *flags_for(folder, run))[0] == 0
    assert outcome(member_of(folder, run)) == outcome(straight)


def test_a_sigint_in_the_middle_of_an_epoch_saves_there(folder: Path, straight: Path) -> None:
    member = member_of(folder, "middle")
    for _ in range(10):  # until a signal lands inside an epoch and not at its end
        send(folder, "middle", signal.SIGINT)
        assert not (member / "member.json").exists(), "all signals landed at an epoch's end"
        if read_checkpoint(member / "last.ckpt")["global_step"] % STEPS_AN_EPOCH:
            break
    assert finish(folder / "end.log", *flags_for(folder, "middle"))[0] == 0
    assert outcome(member) == outcome(straight)


HARD: dict[str, dict[str, object]] = {
    "auxiliary": {"auxiliary": 0.5, "ema": 0.9, "loss": "class_balanced", "backbone_rate": 0.5},
    "average": {"ema": 0.99, "schedule": "warmup_cosine", "backbone_rate": 0.1},
    "frozen": {"ema": 0.9, "freeze_epochs": 1, "schedule": "one_cycle", "epochs": 3},
    "accumulated": {"accumulate": 4, "optimizer": "sgd", "stop_on": "macro_sample_f1"},
    "mixed": {
        "augment": {"mixing": "mixup", "gamma": 0.2, "crop": 0.7, "elastic": 0.02, "only_minority": True},
        "sizes": [32, 40],
        "pooling": "gem",
        "loss": "distribution_balanced",
    },
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("batches", [3, 35])
def test_averages_accumulated_steps_and_mixed_images_go_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, batches: int
) -> None:
    recipe = load_recipe(str(write_tiny(tmp_path, training={**LONG, "epochs": 2, **HARD[name]})))
    together, member = (4 if name == "accumulated" else 1), recipe.members[3 if name == "auxiliary" else 1]
    quiet = TrainOptions(device="cpu", lines=False)
    plans = {run: plan_training(start_run(recipe.model_copy(update={"run": run})), member) for run in ("a", "b")}
    train_member(plans["a"], quiet)
    with monkeypatch.context() as patch:
        patch.setattr(ResumeCheckpoint, "_must_stop", lambda _, trainer: trainer.global_step * together >= batches)
        with pytest.raises(Interrupted):
            train_member(plans["b"], quiet)
    assert read_checkpoint(plans["b"].checkpoint)["global_step"] == -(-batches // together)
    train_member(plans["b"], quiet)
    assert outcome(plans["b"].folder) == outcome(plans["a"].folder)


def test_ctrl_c_on_the_command_saves_and_says_how_to_go_on(folder: Path, straight: Path) -> None:
    flags = flags_for(folder, "command")
    process = subprocess.Popen(train_command(*flags), env=one_thread(), stderr=subprocess.PIPE, text=True)
    wait_for_an_epoch(member_of(folder, "command") / "history.csv")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.rstrip().endswith("To resume: python -m hpa_hier.train " + " ".join(map(str, flags)))
    torch.load(member_of(folder, "command") / "last.ckpt", weights_only=True)  # tensors and plain values only
    assert not list(member_of(folder, "command").glob(".*.tmp*"))


def test_a_checkpoint_of_other_settings_is_refused(folder: Path, straight: Path) -> None:
    send(folder, "other", signal.SIGINT)
    status, printed = finish(folder / "refused.log", *flags_for(folder, "other"), "--set", "training.learning_rate=0.1")
    assert status == 2
    assert "started with other settings, data or taxonomy" in printed
    assert f"--member leaf --run {folder / 'artifacts' / 'other'} --restart" in printed


def test_a_checkpoint_of_another_version_is_refused(folder: Path, straight: Path) -> None:
    send(folder, "older", signal.SIGINT)
    path = member_of(folder, "older") / "last.ckpt"
    checkpoint = read_checkpoint(path)
    checkpoint["hpa_hier"]["format"] = 1
    torch.save(checkpoint, path)
    status, printed = finish(folder / "refused.log", *flags_for(folder, "older"))
    assert status == 2
    assert "written by another version of hpa_hier, so it cannot be resumed; train the member again with" in printed


def test_a_damaged_checkpoint_is_refused_and_says_how_to_start_again(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({"weights": torch.arange(4096)}, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"last\.ckpt: damaged .*; --restart trains the member again"):
        read_checkpoint(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_in_the_place_of_a_checkpoint_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "last.ckpt")
    with pytest.raises(UserError, match=r"last\.ckpt: damaged \(no regular file\); --restart trains the member again"):
        read_checkpoint(tmp_path / "last.ckpt")


def test_scores_are_of_the_parts_that_no_weight_has_seen(straight: Path) -> None:
    scores = np.load(straight / "scores.npz", allow_pickle=False)
    with (straight.parents[1] / "split.csv").open() as file:
        parts = {row["id"]: row["part"] for row in csv.DictReader(file)}
    assert dict(zip(scores["ids"], scores["part"], strict=True)) == {i: p for i, p in parts.items() if p != "train"}
    assert scores["nodes"].tolist() == ["Dots", "Rings", "Blobs", "Smears"]
    assert scores["logits"].dtype == np.float32
