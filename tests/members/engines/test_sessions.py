"""Sessions: a runtime that is missing is named with its extra."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto, helper

from hpa_hier.cli.flags.backend import ENGINES
from hpa_hier.errors import UserError
from hpa_hier.members.engines.choose import AUTO
from hpa_hier.members.engines.sessions import RUNTIMES, check_installed, describe_version, open_session
from hpa_hier.members.load import TORCH


def negate() -> bytes:
    """Return a network of three numbers, as ONNX."""
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 3])] for name in ("samples", "logits")
    )
    graph = helper.make_graph([helper.make_node("Neg", ["samples"], ["logits"])], "g", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def test_the_flag_names_all_engines_and_no_others() -> None:
    assert set(ENGINES) == {AUTO, TORCH, *RUNTIMES}


@pytest.mark.parametrize("engine", RUNTIMES)
def test_a_missing_runtime_is_asked_for_by_its_extra(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = engine.removesuffix("-bf16")
    assert describe_version(engine).startswith(f"{engine} ")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"--backend {engine}: needs {package}; `pip install 'hpa-hier\[{package}\]'"):
        check_installed(engine)


def test_a_runtime_that_another_distribution_brought_has_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> str:
        if name != "onnxruntime-gpu":
            raise metadata.PackageNotFoundError(name)
        return "1.23"

    monkeypatch.setattr(metadata, "version", find)
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"onnxruntime": ["onnxruntime-gpu"] * 2})
    assert describe_version("onnxruntime") == "onnxruntime onnxruntime-gpu 1.23"
    assert describe_version("openvino") == "openvino unknown"


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_what_a_runtime_raises_is_one_line(engine: str) -> None:
    told = rf"^--backend {engine}: {engine} fails here \(.+\); use --backend torch$"
    with pytest.raises(UserError, match=told):
        open_session(engine, b"no network", (4, 3), 1)
    compute = open_session(engine, negate(), (4, 3), 1)
    with pytest.raises(UserError, match=told):
        compute(np.zeros((4, 2), np.float32))


def test_bfloat16_is_refused_on_a_processor_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    core = SimpleNamespace(get_property=lambda device, name: ["FP32"])
    monkeypatch.setattr("hpa_hier.members.engines.sessions.openvino_core", lambda: core)
    with pytest.raises(UserError, match="this processor does not compute in bfloat16; use --backend openvino"):
        open_session("openvino-bf16", b"", (4, 4, 32, 32), 1)


def test_a_signal_after_several_networks_of_openvino_have_gone_ends_nothing(tmp_path: Path) -> None:
    """OpenVINO gives the process a stack for signals, and its end puts back the one that it found, there or not."""
    script = """
import gc, os, signal, sys
import numpy as np
from pathlib import Path
from hpa_hier.members.engines.sessions import open_session
onnx = Path(sys.argv[1]).read_bytes()
for _ in range(3):
    opened = [open_session("openvino", onnx, (4, 3), 1) for _ in range(2)]
    for compute in opened:
        compute(np.zeros((4, 3), np.float32))
    while opened:
        del opened[0]
        gc.collect()
    del compute
heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
os.kill(os.getpid(), signal.SIGTERM)
assert heard
"""
    (tmp_path / "net.onnx").write_bytes(negate())
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path / "net.onnx")], capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
