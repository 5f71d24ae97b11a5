"""Team: two processes that train one member together, over gloo; what they share, and how they end."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from every_kind import ARCFACE, every_head_and_loss, write_antibodies
from tiny_run import plan_tiny, trained_weights, write_tiny
from two_processes import (
    be_interrupted_before_connecting,
    die_while_connecting,
    end_two,
    start_two,
    train_each,
    train_words,
)

from hpa_hier.errors import UserError
from hpa_hier.training.processes.place import STARTED_BY
from hpa_hier.training.processes.team import form_team
from hpa_hier.training.train_member import TrainOptions, train_member

SHORT = {"epochs": 2, "batch_size": 16, "width": 4, "stop_on": "none"}

OTHERS: dict[str, dict[str, Any]] = {
    "average": {"ema": 0.9},
    "early": {"epochs": 12, "stop_on": "log_loss", "patience": 1, "learning_rate": 0.5},
    "mixup": {"augment": {"mixing": "mixup"}, "accumulate": 2},
    "cutmix": {"augment": {"mixing": "cutmix"}, "sizes": [32, 48]},
    "union": {"augment": {"mixing": "union_mean"}, "balance": "weighted"},
    "freeze": {"freeze_epochs": 1, "backbone_rate": 0.1},
    "auxiliary": {"auxiliary": 0.5, "dense": [8], "pooling": "gem"},
}
FEW = {
    "arcface": ARCFACE | {"ema": 0.9},
    "levels": {"head": "levels", "loss": "distribution_balanced", "accumulate": 2, "augment": {"mixing": "mixup"}},
    "chain": {"head": "chain", "loss": "focal", "freeze_epochs": 1},
    "early": OTHERS["early"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("team")
    write_antibodies(folder)
    return folder


def check_alike(folder: Path, kinds: dict[str, dict[str, Any]]) -> None:
    """Train every kind in two processes; they must end with the same weights, metrics and losses."""
    kinds = {name: SHORT | settings for name, settings in kinds.items()}
    statuses = end_two(start_two(folder, train_each, folder, kinds))
    printed = [(folder / f"{rank}.log").read_text() for rank in range(2)]
    assert statuses == [0, 0], printed
    assert "Traceback" not in "".join(printed)
    for name, settings in kinds.items():
        first, second = (json.loads((folder / f"{name}.{rank}.json").read_text()) for rank in range(2))
        assert first == second, name
        assert all(np.isfinite(row["train_loss"]) for row in first["rows"]), name
        early = settings["stop_on"] != "none"
        assert (len(first["rows"]) < settings["epochs"]) == early, name


def test_two_processes_end_with_the_same_weights_and_metrics(folder: Path) -> None:
    check_alike(folder, FEW)


@pytest.mark.slow
def test_every_head_and_loss_is_trained_by_two_processes(folder: Path) -> None:
    check_alike(folder, every_head_and_loss())


@pytest.mark.slow
def test_averages_mixing_balancing_and_freezing_work_in_two_processes(folder: Path) -> None:
    check_alike(folder, OTHERS)


def test_a_step_of_two_processes_is_that_of_one_with_batches_twice_as_large(folder: Path) -> None:
    # No normalisation over a batch, as each process has its own on a CPU; no dropout, which each draws for itself.
    still = {**SHORT, "backbone": "two_conv_cnn", "dropout": 0.0, "optimizer": "sgd", "precision": "32-true"}
    assert end_two(start_two(folder, train_each, folder, {"half": {**still, "batch_size": 8}})) == [0, 0]
    half = trained_weights(plan_tiny(folder))
    whole = plan_tiny(folder, **still, devices=1)
    train_member(whole, TrainOptions("cpu", restart=True, lines=False))
    for name, weights in trained_weights(whole).items():
        torch.testing.assert_close(half[name], weights, rtol=1e-3, atol=1e-5)


LONG = {"epochs": 4, "batch_size": 8, "devices": 2, "head": "chain", "ema": 0.9}


def _flags(folder: Path, run: str) -> tuple[object, ...]:
    return ("--config", folder / "recipe.yaml", "--run", run, "--level", "leaf", "--device", "cpu")


def _outcome(folder: Path, run: str) -> tuple[bytes, list[list[str]]]:
    member = folder / "artifacts" / run / "members" / "leaf"
    with (member / "history.csv").open() as file:
        return (member / "model.safetensors").read_bytes(), [row[:-1] for row in csv.reader(file)]


@pytest.mark.parametrize("killed", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_killed_process_ends_the_other_with_one_line_and_the_same_command_ends_with_the_same_bits(
    folder: Path, killed: int
) -> None:
    write_tiny(folder, training=LONG)
    if not (folder / "artifacts" / "straight").exists():
        assert end_two(start_two(folder / "straight", train_words, *_flags(folder, "straight"))) == [0, 0]
    run = f"killed{killed}"
    member = folder / "artifacts" / run / "members" / "leaf"
    processes = start_two(folder / run, train_words, *_flags(folder, run))
    deadline = time.monotonic() + 60
    while not (member / "last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(processes[killed].pid, signal.SIGKILL)
    statuses = end_two(processes)
    printed = (folder / run / f"{1 - killed}.log").read_text()
    assert (statuses[killed], statuses[1 - killed]) == (-9, 2), printed
    errors = [line for line in printed.splitlines() if "rror" in line or "stop" in line]
    assert len(errors) == 1, printed
    assert re.fullmatch(r"error: leaf: .*, so the training stopped; the same command resumes it", errors[0])
    assert end_two(start_two(folder / run, train_words, *_flags(folder, run))) == [0, 0]
    assert _outcome(folder, run) == _outcome(folder, "straight")
    second = (folder / run / "1.log").read_text()
    assert second == ""  # one of them prints
    assert "leaf: 6 nodes, 4 epochs in" in (folder / run / "0.log").read_text()


def test_machines_that_do_not_come_are_waited_for_as_long_as_said(capsys: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    with pytest.raises(UserError, match=r"waited 0\.3 s \(training\.wait\) at \S+ for processes [2, ]*3, 4 of 4"):
        form_team(2, 2, "leaf", 0.3, ["--help"], "hpa-hier train --level leaf").__enter__()
    assert time.monotonic() - start < 60
    printed = capsys.readouterr().err
    assert "waiting up to 0.3 s for 2 processes of 1 other machine, at" in printed
    assert re.search(r"\n  NODE_RANK=1 MASTER_ADDR=\S+ MASTER_PORT=\d+ hpa-hier train --level leaf\n", printed)


def test_a_first_process_that_is_not_there_is_named_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("NODE_RANK", "1")
    with pytest.raises(UserError, match="NODE_RANK is 1: this is not the first of 2 machines; set MASTER_ADDR and"):
        form_team(1, 2, "leaf", 0.2, (), "").__enter__()
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(port))
    with pytest.raises(UserError, match=rf"process 2 of 2 waited 0\.2 s .* for the first one at 127\.0\.0\.1:{port}"):
        form_team(1, 2, "leaf", 0.2, (), "").__enter__()


def test_a_process_whose_starter_is_gone_before_they_meet_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    place = {"RANK": 1, "WORLD_SIZE": 2, "LOCAL_RANK": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in (place | {STARTED_BY: os.getpid()}).items():  # no process has started itself
        monkeypatch.setenv(name, str(value))
    with pytest.raises(UserError, match="leaf: the process that started it is gone, so the training stopped; the same"):
        form_team(2, 1, "leaf", 200, (), "").__enter__()


@pytest.mark.parametrize(
    ("seen", "why"),
    [(False, "the processes did not connect within 0.5 s"), (True, "process 2 of 2 was killed by SIGKILL")],
)
def test_a_process_that_dies_while_they_connect_ends_the_other(folder: Path, seen: bool, why: str) -> None:
    here = folder / f"connect-{seen}"
    assert end_two(start_two(here, die_while_connecting, seen)) == [2, -9]
    printed = (here / "0.log").read_text()
    assert printed == f"error: leaf: {why}, so the training stopped; the same command resumes it\n"


def test_a_process_that_is_interrupted_before_they_connect_ends_the_other(folder: Path) -> None:
    here = folder / "interrupted"
    assert end_two(start_two(here, be_interrupted_before_connecting)) == [130, 130]
    assert re.fullmatch(r"leaf: process 2 of 2, on \S+, was interrupted\ninterrupted\n", (here / "0.log").read_text())


def test_what_is_decided_first_is_decided_for_all_and_an_error_of_one_ends_both(folder: Path) -> None:
    write_tiny(folder, training={**SHORT, "devices": 2})
    broken = (*_flags(folder, "wrong"), "--set", "members.leaf.training.class_weights={Nowhere: 2}")
    assert end_two(start_two(folder / "wrong", train_words, *broken)) == [2, 2]
