"""Training together: the members that training apart gives, to the last bit, however it was stopped."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tiny_run import one_thread, train_command, train_here, write_tiny

from hpa_hier.errors import UserError
from hpa_hier.members.nodes import find_member
from hpa_hier.runs.manifest import read_manifest
from hpa_hier.runs.run import Run
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.training.batches import images
from hpa_hier.training.plan import plan_training
from hpa_hier.training.start_from import training_order
from hpa_hier.training.together.train import train_together
from hpa_hier.training.train_member import TrainOptions, train_member

MEMBERS = [
    {"name": "leaf", "level": "leaf"},
    {"name": "leaf-s1", "level": "leaf", "seed": 1},
    {"name": "coarse", "level": "coarse", "training": {"data_seed": None}},  # batches of its own
    {"name": "group-Inside", "group": "Inside", "training": {"start_from": "leaf"}},
]
SHARED = {"epochs": 2, "data_seed": 3}
QUIET = TrainOptions("cpu", lines=False)


def open_run(folder: Path, **training: object) -> Run:
    return start_run(load_recipe(str(write_tiny(folder, members=MEMBERS, training={**SHARED, **training})), ()))


def together(run: Run, **options: object) -> dict[str, int]:
    order = training_order(run.recipe)
    members = [find_member(run.recipe, name) for name in order]
    return train_together(run, members, order, TrainOptions("cpu", **options))  # type: ignore[arg-type]


def contents(run: Run) -> dict[str, bytes]:
    """Return what a training decides: weights, scores and metrics, without times."""
    found = {}
    for path in sorted((run.folder / "members").glob("*/*")):
        if path.name in ("model.safetensors", "scores.npz"):
            found[f"{path.parent.name}/{path.name}"] = path.read_bytes()
        elif path.name == "history.csv":
            rows = [line.rpartition(",")[0] for line in path.read_text().splitlines()]
            found[f"{path.parent.name}/{path.name}"] = "\n".join(rows).encode()
    return found


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    run = open_run(tmp_path_factory.mktemp("apart"))
    for name in training_order(run.recipe):
        train_member(plan_training(run, find_member(run.recipe, name)), QUIET)
    return contents(run)


@pytest.fixture
def warped(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the images that are warped."""
    counts, warp = list[int](), images.warp

    def count(pixels: object, *rest: object) -> object:
        counts.append(len(pixels))  # type: ignore[arg-type]
        return warp(pixels, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(images, "warp", count)
    return counts


def test_members_trained_together_are_those_trained_apart_and_warp_shared_images_once(
    tmp_path: Path, apart: dict[str, bytes], warped: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    run, began = open_run(tmp_path), time.monotonic()
    assert together(run) == dict.fromkeys(("leaf", "leaf-s1", "coarse", "group-Inside"), 0)
    assert contents(run) == apart
    assert len(apart) == 4 * 3
    steps = len(apart["leaf/history.csv"].splitlines()[1:]) * 7  # of 16 among the 112 training images
    assert len(warped) == 3 * steps  # leaf with leaf-s1, coarse, and group-Inside, which waited for leaf
    seconds = [read_manifest(run.member_folder(name)).seconds for name in ("leaf", "leaf-s1", "coarse")]
    assert 0 < sum(seconds) < time.monotonic() - began  # a member's do not hold the others' turns
    printed = capsys.readouterr().err
    assert "leaf, leaf-s1: each batch is read and varied once for all of them" in printed
    assert "coarse: has batches of its own" in printed
    for name in ("leaf", "coarse"):
        log = (run.member_folder(name) / "train.log").read_text().splitlines()
        assert [line.partition(",")[0] for line in log[:-1]] == [f"{name}: epoch {one} of 2" for one in (1, 2)]
        assert "written to" in log[-1]
        assert f"{name}: epoch" not in printed


def test_ctrl_c_saves_all_members_and_the_same_call_goes_on(
    tmp_path: Path, apart: dict[str, bytes], warped: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, warp = open_run(tmp_path), images.warp

    def interrupt(*arguments: object) -> object:
        if len(warped) == 9:
            os.kill(os.getpid(), signal.SIGINT)
        return warp(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(images, "warp", interrupt)
    statuses = together(run)
    assert statuses == dict.fromkeys(("leaf", "leaf-s1", "coarse"), 130)
    assert all((run.member_folder(name) / "last.ckpt").exists() for name in statuses)
    assert set(together(run).values()) == {0}
    assert contents(run) == apart


def test_a_member_that_fails_stops_only_those_that_start_from_it(
    tmp_path: Path, apart: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    run = open_run(tmp_path)
    folder = run.member_folder("leaf")
    folder.mkdir(parents=True)
    (folder / "last.ckpt").write_bytes(b"no checkpoint")
    assert together(run) == {"leaf": 2, "leaf-s1": 0, "coarse": 0, "group-Inside": 2}
    printed = capsys.readouterr().err
    assert "leaf: error: " in printed
    assert "last.ckpt: damaged" in printed
    assert "group-Inside: not trained, as it starts from leaf" in printed
    found = contents(run)
    assert found == {name: content for name, content in apart.items() if name.split("/")[0] in ("leaf-s1", "coarse")}


def test_what_the_machine_refuses_a_member_is_its_line_and_the_others_train(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(tmp_path)
    full, real = run.member_folder("leaf"), Path.mkdir

    def mkdir(self: Path, *arguments: object, **named: object) -> None:
        if self == full:
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        real(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert together(run) == {"leaf": 2, "leaf-s1": 0, "coarse": 0, "group-Inside": 2}
    printed = capsys.readouterr().err
    assert f"leaf: error: {full}: No space left on device; make room on the disk; what was finished is kept" in printed
    assert "Traceback" not in printed


def test_several_processes_a_member_and_several_jobs_are_refused(tmp_path: Path) -> None:
    run = open_run(tmp_path, devices=2)
    with pytest.raises(UserError, match=r"--together: 'leaf' is trained by 2 processes; set training\.devices and"):
        together(run)
    recipe = tmp_path / "recipe.yaml"
    status, printed = train_here("--all", "--together", "--jobs", 2, "--config", recipe)
    assert (status, printed) == (
        2,
        "error: --together: trains in one process, and --jobs in several; leave one of them out\n",
    )
    status, printed = train_here("--all", "--together", "--backend", "loky", "--config", recipe)
    assert (status, printed.split(";")[0]) == (2, "error: --together: trains in one process, and --backend in several")
    status, printed = train_here("--level", "leaf", "--together", "--config", recipe)
    assert (status, printed) == (2, "error: --together: goes with --all; leave it out for one member\n")


@pytest.mark.slow
def test_kill_9_loses_no_epoch_and_the_same_command_goes_on(tmp_path: Path, apart: dict[str, bytes]) -> None:
    run = open_run(tmp_path)
    command = train_command("--all", "--together", "--device", "cpu", "--config", tmp_path / "recipe.yaml")
    process = subprocess.Popen(command, env=one_thread(), stderr=subprocess.DEVNULL)
    while not (run.member_folder("leaf-s1") / "last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    again = subprocess.run(command, env=one_thread(), capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert contents(run) == apart
