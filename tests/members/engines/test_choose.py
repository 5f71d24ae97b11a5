"""The choice of an engine: measured once, kept, and never one whose logits are wrong."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hpa_hier.errors import UserError
from hpa_hier.files.remote.cache import FOLDER
from hpa_hier.members.engines import choose
from hpa_hier.members.engines.choose import choose_engine

MANIFEST = SimpleNamespace(
    backbone="small_cnn", kind="images", channels=("green",), image_size=4, mean=(0.0,), std=(1.0,), files={"w": "1"}
)


@dataclass(frozen=True)
class _Member:
    seconds: float
    logit: float

    @property
    def manifest(self) -> object:
        return MANIFEST

    def logits(self, images: np.ndarray) -> np.ndarray:
        time.sleep(self.seconds)
        return np.full((len(images), 2), self.logit, np.float32)


@pytest.fixture(autouse=True)
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Members that take their time, and the names of the engines that were loaded."""
    names: list[str] = []
    members = {"torch": _Member(0.03, 1.0), "onnxruntime": _Member(0.01, 1.0), "openvino": _Member(0.0, 1.01)}

    def load(folder: Path, device: str, engine: str) -> _Member:
        names.append(engine)
        return members[engine]

    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setattr(choose, "load_with_engine", load)
    monkeypatch.setattr(choose, "read_manifest", lambda folder: MANIFEST)
    monkeypatch.setattr(choose, "_ACCELERATORS", ())
    monkeypatch.setattr(choose.shutil, "which", lambda name: None)
    return names


def test_the_fastest_whose_logits_are_right_is_measured_once_and_kept(
    loaded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert choose_engine("auto", [Path("a")], "auto") == "onnxruntime"  # openvino is faster and wrong
    told = capsys.readouterr().err
    assert "openvino: left out: its logits are away from torch's by a share of 0.01" in told
    assert "onnxruntime from now on" in told
    assert loaded == ["torch", "onnxruntime", "openvino"]
    assert choose_engine("auto", [Path("a")], "cpu") == "onnxruntime"
    assert capsys.readouterr().err == ""
    assert len(loaded) == 3


def test_other_threads_are_measured_apart(loaded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    choose_engine("auto", [Path("a")], "cpu")
    monkeypatch.setattr(choose, "count_threads", lambda: 99)
    choose_engine("auto", [Path("a")], "cpu")
    assert len(loaded) == 6


def test_what_cannot_be_loaded_is_left_out(
    loaded: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(folder: Path, device: str, engine: str) -> _Member:
        if engine != "torch":
            raise UserError("cannot be converted")
        return _Member(0.0, 1.0)

    monkeypatch.setattr(choose, "load_with_engine", load)
    assert choose_engine("auto", [Path("a")], "cpu") == "torch"
    assert "openvino: left out: cannot be converted" in capsys.readouterr().err


def test_torch_is_not_measured_and_members_without_networks_neither(loaded: list[str]) -> None:
    assert choose_engine("torch", [Path("a")], "cuda") == "torch"
    assert choose_engine("auto", [], "cpu") == "torch"
    assert loaded == []


def test_another_device_than_the_processor_is_torchs() -> None:
    with pytest.raises(UserError, match="--backend openvino: computes on the processor; leave out --device cuda:1"):
        choose_engine("openvino", [Path("a")], "cuda:1")
