"""The processor: named by one function everywhere, and whatever the system tells."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hpa_hier.places import processor


def test_the_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert processor.count_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processor.count_cores() == 1


def test_a_system_that_tells_nothing_still_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert processor.read_processor("no such field") == ""
    monkeypatch.setattr(processor, "read_processor", lambda field: "")
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "")
    assert processor.name_processor() == "unknown"


@pytest.fixture
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that says nothing of threads."""
    for name in processor._THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(processor, "_set_here", set())
    monkeypatch.setattr(processor, "count_cores", lambda: 7)


@pytest.mark.usefixtures("nothing_said")
def test_as_many_threads_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, threads in (("3", 3), ("2,1", 2), ("many", 7), ("0", 7)):
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        assert processor.count_threads() == threads
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    processor.keep_to_one_thread()
    assert processor.count_threads() == 1  # which somebody said
    assert processor.environment_as_found()["OMP_NUM_THREADS"] == "1"


@pytest.mark.usefixtures("nothing_said")
def test_a_command_computes_on_all_cores_and_each_process_that_inherits_from_it_in_one_thread() -> None:
    processor.keep_to_one_thread()
    assert os.environ["OMP_NUM_THREADS"] == "1"  # for libraries that wait for each other's threads
    assert processor.count_threads() == 7
    code = "from hpa_hier.places.processor import *; keep_to_one_thread(); print(count_threads(), count_cores())"
    (worker, _), (alone, cores) = (
        subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout.split()
        for env in (None, processor.environment_as_found())
    )
    assert (worker, alone) == ("1", cores)
