"""The processor: named by one function everywhere, and whatever the system tells."""

import os

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
