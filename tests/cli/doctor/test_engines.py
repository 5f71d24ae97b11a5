"""Engines: what is there computes, and one that ends its process is told, not met."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

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


@pytest.mark.parametrize(
    ("name", "error", "text", "wrong"),
    [
        ("openvino", ModuleNotFoundError("no"), "not installed; pip install 'hpa-hier[openvino]' adds it", False),
        ("openvino", ImportError("libtbb.so: not found"), "cannot be imported (libtbb.so: not found)", True),
        ("torch", ModuleNotFoundError("no"), "cannot be imported (no)", True),
    ],
)
def test_an_engine_that_is_not_installed_is_told_from_one_that_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    error: Exception,
    text: str,
    wrong: bool,
) -> None:
    def fail() -> Iterator[engines.Finding]:
        raise error

    monkeypatch.setitem(engines._TRIALS, name, fail)
    engines.answer(name)
    assert json.loads(capsys.readouterr().out) == {"what": name, "text": text, "wrong": wrong}


def test_a_provider_that_another_stands_in_for_is_told_and_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    real = runtime.InferenceSession

    def open_session(model: bytes, options: Any, providers: list[str]) -> Any:
        if providers == ["CoreMLExecutionProvider"]:
            raise ValueError("no such library\nand more of it")
        return real(model, runtime.SessionOptions(), providers=["CPUExecutionProvider"])  # as without the CUDA library

    names = ["CoreMLExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(runtime, "InferenceSession", open_session)
    monkeypatch.setattr(runtime, "get_available_providers", lambda: names)
    found = list(engines._try_onnxruntime())
    assert [one.what.partition(", ")[2] for one in found] == names
    assert [one.text for one in found] == [
        "fails (no such library)",
        "fails (it cannot be loaded, and CPUExecutionProvider takes its place)",
        "works",
    ]
    assert [one.wrong for one in found] == [True, True, False]


def test_a_device_of_torch_that_fails_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    real = torch.ones

    def ones(*shape: int, device: str) -> torch.Tensor:
        if device == "cuda:0":
            raise AssertionError("Torch not compiled with CUDA enabled")
        return real(*shape)

    cuda = SimpleNamespace(is_available=lambda: True, device_count=lambda: 2, get_device_name=lambda device: "GPU")
    monkeypatch.setattr(torch, "cuda", cuda)
    monkeypatch.setattr(torch, "ones", ones)
    texts = [one.text for one in engines._try_torch()]
    assert texts[0].endswith("works")
    assert texts[1:3] == ["GPU, fails (Torch not compiled with CUDA enabled)", "GPU, works"]
