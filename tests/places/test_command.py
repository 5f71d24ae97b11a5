"""Commands on workers: one that does not stop is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hpa_hier.places.child import EXIT_INTERRUPTED
from hpa_hier.places.command import Command, Lease, run_command

TESTS = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("saving", [pytest.param(0.2, id="in time"), pytest.param(3600.0, id="at once")])
def test_a_command_that_does_not_stop_is_killed(saving: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    monkeypatch.setattr("hpa_hier.places.command._LOOK", 0.05)
    monkeypatch.setattr("hpa_hier.places.command.SAVING", saving)
    words = ("toy_member", str(tmp_path), "100000")
    with Lease(tmp_path) as lease, ThreadPoolExecutor(1) as thread:
        command = Command(words, str(tmp_path), str(tmp_path / "train.log"), str(lease.path))
        future = thread.submit(run_command, command)
        until = time.monotonic() + 60
        while not (tmp_path / "last.ckpt").exists() and time.monotonic() < until:
            time.sleep(0.01)
        child = int((tmp_path / "process").read_text().split()[0])
        os.kill(child, signal.SIGSTOP)
        lease.end()
        if saving > 60:
            time.sleep(0.3)
            assert not future.done()
            lease.end_at_once()
        assert future.result(60).status == EXIT_INTERRUPTED
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert list(tmp_path.glob(".lease*")) == []


def test_commands_side_by_side_compute_in_one_thread_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")  # as in a worker that was started by hand
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    (tmp_path / "say.py").write_text("import os; print(os.environ['OMP_NUM_THREADS'], os.environ['MKL_NUM_THREADS'])")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Lease(tmp_path) as lease:
        assert run_command(Command(("say",), str(tmp_path), str(tmp_path / "log"), str(lease.path))).line == "1 3"


def test_the_lease_of_a_killed_command_is_removed_by_the_next_one_and_that_of_a_live_one_stays(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    with Lease(tmp_path) as mine:
        left = mine.path.with_name(mine.path.name.replace(f".{os.getpid()}-", f".{ended.pid}-"))
        left.touch()
        with Lease(tmp_path) as other:
            assert sorted(tmp_path.iterdir()) == sorted([mine.path, other.path])
    assert list(tmp_path.iterdir()) == []
