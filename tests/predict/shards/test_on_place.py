"""A prediction on a place: workers run the command until no shard is free, and one that is killed is replaced."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest
from ensemble_run import SmallRun, write_images

from hpa_hier.cli.ensemble import main
from hpa_hier.errors import UserError
from hpa_hier.places.command import Ended
from hpa_hier.places.place import open_place
from hpa_hier.predict.shards.on_place import compute_on_place
from hpa_hier.predict.shards.shards import FOLDER

PROGRAM = """import sys, time, pathlib
out = pathlib.Path(sys.argv[1])
(out / str(time.monotonic_ns())).touch()
time.sleep(float(sys.argv[2]))
sys.exit(int(sys.argv[3]))
"""


def compute(home: Path, *arguments: str, left: Callable[[], int] = lambda: 2) -> None:
    (home / "program.py").write_text(PROGRAM)
    (home / "ran").mkdir()
    with open_place("threading", 2) as place:
        compute_on_place(("program", str(home / "ran"), *arguments), home, place, left)


def test_each_worker_runs_the_command_with_a_log_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    compute(tmp_path, "0", "0")
    assert len(list((tmp_path / "ran").iterdir())) == 2
    assert sorted(path.name for path in tmp_path.glob("*.log")) == ["worker-0.log", "worker-1.log"]


def test_a_worker_s_error_is_told_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=r"--backend threading: a worker on .* ended with an error: .*log has all of it"
    ):
        compute(tmp_path, "0", "3")


def test_no_more_workers_are_asked_for_than_there_are_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    compute(tmp_path, "0", "0", left=lambda: 1)
    assert len(list((tmp_path / "ran").iterdir())) == 1


def test_workers_that_have_not_begun_when_nothing_is_left_are_not_waited_for(tmp_path: Path) -> None:
    """A cluster may be busy with others."""
    never: Future[Ended] = Future()
    taken_back: list[Future[Ended]] = []
    place = SimpleNamespace(name="busy", workers=9, submit=lambda *_: never, cancel=taken_back.append)
    answers = iter((3, 2, 0))
    compute_on_place(("program",), tmp_path, place, lambda: next(answers))  # type: ignore[arg-type]
    assert taken_back == [never] * 3


@pytest.mark.cluster
def test_two_dask_workers_of_which_one_is_killed_write_the_tables_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = Path("../shared/data/hpa/fields").resolve()
    if not images.is_dir():
        pytest.skip("the images are not on this machine")
    monkeypatch.chdir(tmp_path)
    shared = ["predict", str(images), "--run", "pretrained", "--batch-size", "8", "--shard-size", "8"]
    status = main([*shared, "--out", "whole"])
    killed: list[int] = []

    def kill_one() -> None:
        while not killed:
            for process in Path("/proc").glob("[0-9]*"):
                line = (process / "cmdline").read_bytes() if (process / "cmdline").exists() else b""
                if b"--worker" in line and str(tmp_path) in str((process / "cwd").readlink()):
                    if not list(Path("out", FOLDER).glob("[0-9]*.npz")):
                        break
                    os.kill(int(process.name), signal.SIGKILL)
                    killed.append(int(process.name))
                    return
            time.sleep(0.05)

    threading.Thread(target=kill_one, daemon=True).start()
    assert main([*shared, "--out", "out", "--backend", "dask-local", "--jobs", "2"]) == status
    assert killed
    for path in Path("whole").iterdir():
        assert (Path("out") / path.name).read_bytes() == path.read_bytes()


def test_a_place_is_for_images_and_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    SmallRun(tmp_path)
    write_images(tmp_path / "images", 1)
    with pytest.raises(UserError, match="--backend loky goes with --out DIR; add it, or leave this out"):
        main(["predict", "images", "--run", "small", "--backend", "loky"])
    with pytest.raises(UserError, match="--jobs goes with --backend, as in --backend loky"):
        main(["predict", "images", "--run", "small", "--jobs", "2"])
