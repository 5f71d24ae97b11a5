"""Devices and engines: each is tried in a process of its own, as a broken one may end it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial

from hpa_hier.cli.doctor.finding import Finding

_PATIENCE = 180  # seconds for one engine; a first import from a network share takes minutes
_SIDE = 8  # of the square that is convolved


def try_engines() -> list[Finding]:
    """Return how each device of torch, and each other engine, computes a small convolution here."""
    return [finding for name in _TRIALS for finding in _run(name)]


def _run(name: str) -> list[Finding]:
    code = f"from hpa_hier.cli.doctor.engines import answer; answer({name!r})"
    try:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return [Finding(name, f"does not answer within {_PATIENCE} s", wrong=True)]
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"what"')]
    found = [Finding(**row) for row in rows]
    if done.returncode < 0:
        found.append(Finding(name, f"its process was ended by {signal.Signals(-done.returncode).name}", wrong=True))
    elif done.returncode or not found:
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        found.append(Finding(name, f"fails ({last})", wrong=True))
    return found


def answer(name: str) -> None:
    """Try an engine in this process, and print what was found, a line of JSON each."""
    try:
        for finding in _TRIALS[name]():
            print(json.dumps(finding.to_json()), flush=True)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and name != "torch"
        text = f"not installed; pip install 'hpa-hier[{name}]' adds it" if absent else f"cannot be imported ({error})"
        print(json.dumps(Finding(name, text, wrong=not absent).to_json()))


def _try_torch() -> Iterator[Finding]:
    import torch

    devices = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0))]
    devices += ["mps"] * torch.backends.mps.is_available()
    for device in devices:
        what = f"torch {torch.__version__} on {device}"
        name = f"{torch.cuda.get_device_name(device)}, " if device.startswith("cuda") else ""
        if device == "cpu":
            name = f"{torch.backends.cpu.get_cpu_capability()}, "
        yield _try(what, partial(_convolve, device), name)
    if len(devices) == 1:
        built = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is built without CUDA"
        yield Finding("GPU", f"none that torch can use; {built}")


def _convolve(device: str) -> float:
    import torch

    square = torch.ones(1, 1, _SIDE, _SIDE, device=device)
    return float(torch.nn.functional.conv2d(square, torch.ones(1, 1, 3, 3, device=device)).sum())


def _try_onnxruntime() -> Iterator[Finding]:
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    square = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, _SIDE, _SIDE])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, _SIDE - 2, _SIDE - 2])
    weights = numpy_helper.from_array(np.ones((1, 1, 3, 3), np.float32), "w")
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "doctor", [square], [out], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def compute(provider: str) -> float:
        options = onnxruntime.SessionOptions()
        if not provider.startswith("CPU"):  # which takes the place of what cannot be loaded, and says nothing
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=[provider])
        if session.get_providers()[0] != provider:
            raise RuntimeError(f"it cannot be loaded, and {session.get_providers()[0]} takes its place")
        return float(session.run(None, {"x": np.ones((1, 1, _SIDE, _SIDE), np.float32)})[0].sum())

    for provider in onnxruntime.get_available_providers():
        if not provider.startswith(("CPU", "CUDA", "CoreML")):
            continue  # those that send work elsewhere, or need a licence
        yield _try(f"onnxruntime {onnxruntime.__version__}, {provider}", partial(compute, provider))


def _try_openvino() -> Iterator[Finding]:
    import numpy as np
    import openvino
    from openvino import opset13

    square = opset13.parameter([1, 1, _SIDE, _SIDE], np.float32)
    weights = opset13.constant(np.ones((1, 1, 3, 3), np.float32))
    node = opset13.convolution(square, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    model = openvino.Model([node], [square], "doctor")
    core = openvino.Core()

    def compute(device: str) -> float:
        return float(core.compile_model(model, device)(np.ones((1, 1, _SIDE, _SIDE), np.float32))[0].sum())

    for device in core.available_devices:
        what = f"openvino {openvino.__version__.partition('-')[0]} on {device}"
        yield _try(what, partial(compute, device))


def _try(what: str, compute: Callable[[], float], name: str = "") -> Finding:
    """Return how a convolution of ones with ones goes; what one device raises leaves the others to be tried."""
    try:
        return _judge(what, compute(), name)
    except Exception as error:  # each runtime has errors of its own
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        return Finding(what, f"{name}fails ({lines[0].strip()})", wrong=True)


def _judge(what: str, total: float, name: str = "") -> Finding:
    """Return whether the sum of a convolution of ones with ones is what it must be."""
    wanted = 9.0 * (_SIDE - 2) ** 2
    right = abs(total - wanted) < 1e-3
    return Finding(what, f"{name}works" if right else f"{name}computes {total} where it is {wanted}", wrong=not right)


_TRIALS: dict[str, Callable[[], Iterator[Finding]]] = {
    "torch": _try_torch,
    "onnxruntime": _try_onnxruntime,
    "openvino": _try_openvino,
}
