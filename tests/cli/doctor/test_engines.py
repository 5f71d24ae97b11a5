"""Engines: what is there computes, and one that ends its process is told, not met."""

from __future__ import annotations

import os
import signal

import pytest

from hpa_hier.cli.doctor import engines


def test_torch_computes_on_the_processor() -> None:
    found = list(engines._try_torch())
    assert found[0].what.endswith("on cpu")
    assert found[0].text.endswith("works")
    assert not found[0].wrong


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_an_engine_that_is_installed_computes(name: str) -> None:
    pytest.importorskip(name)
    found = list(engines._TRIALS[name]())
    assert found
    assert not [one for one in found if one.wrong]


def test_a_wrong_sum_is_told() -> None:
    assert engines._judge("x", 324.0).text == "works"
    assert engines._judge("x", 300.0) == engines.Finding("x", "computes 300.0 where it is 324.0", wrong=True)


def test_an_engine_that_ends_its_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Done:
        returncode, stdout, stderr = -signal.SIGILL, "", ""

    monkeypatch.setattr(engines.subprocess, "run", lambda *_, **__: Done())
    assert engines._run("torch")[0].text == "its process was ended by SIGILL"
    assert os.getpid()
