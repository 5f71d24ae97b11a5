"""A Dask scheduler that runs: its workers are used, their death and its own are survived."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from place_tasks import square

from hpa_hier.errors import UserError
from hpa_hier.places.place import open_place

pytestmark = pytest.mark.cluster
TESTS = str(Path(__file__).resolve().parents[1])


def start_dask(*words: str) -> subprocess.Popen[bytes]:
    """Start `dask scheduler` or `dask worker` in a group of its own."""
    line = [sys.executable, "-m", "dask", *words]
    return subprocess.Popen(line, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": TESTS}, process_group=0)


def stop(process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    os.killpg(process.pid, number)
    process.wait(60)


@pytest.fixture
def scheduler(tmp_path: Path):
    process = start_dask(
        "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", f"{tmp_path}/s.json"
    )
    file = tmp_path / "s.json"
    until = time.monotonic() + 60
    while not (file.exists() and file.read_text()) and time.monotonic() < until:
        time.sleep(0.1)
    address = file.read_text().partition("tcp://")[2].partition('"')[0]
    yield process, address
    if process.poll() is None:
        stop(process)


def test_workers_of_a_scheduler_are_used_and_one_without_any_is_told(scheduler, monkeypatch):
    _, address = scheduler
    monkeypatch.setattr("hpa_hier.places.on_dask._WAIT", 5.0)
    wanted = rf"has no worker; start some with `dask worker {address}`"
    with pytest.raises(UserError, match=wanted), open_place(f"dask://{address}"):
        pass
    worker = start_dask("worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard")
    monkeypatch.setattr("hpa_hier.places.on_dask._WAIT", 60.0)
    with open_place(f"dask://{address}") as place:
        assert list(place.map(square, range(20))) == [number * number for number in range(20)]
    stop(worker, signal.SIGTERM)


def test_a_lost_scheduler_ends_in_a_line_that_says_what_to_do(scheduler, monkeypatch):
    process, address = scheduler
    worker = start_dask("worker", address, "--nworkers", "1", "--nthreads", "1", "--no-dashboard")
    monkeypatch.setattr("hpa_hier.places.on_dask._WAIT", 60.0)
    with open_place(f"dask://{address}") as place:
        assert list(place.map(square, [2])) == [4]
        stop(process)
        monkeypatch.setattr("hpa_hier.places.on_dask._GONE", 3.0)
        with pytest.raises(
            UserError, match=r"item 3 .*the scheduler is gone.*what was finished is kept, the same command goes on"
        ):
            list(place.map(square, [3], lambda number: f"item {number}"))
    stop(worker)
