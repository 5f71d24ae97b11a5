"""Sessions: a converted network that computes, by ONNX Runtime or by OpenVINO."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.files.extras import find_version, import_extra

if TYPE_CHECKING:
    from openvino import Core

SAMPLES, LOGITS = "samples", "logits"  # names of what a converted network takes and gives
_MOST_SIGNS = 200  # of what a runtime says, of which the end tells most

Compute = Callable[[np.ndarray], np.ndarray]  # (n, …) samples of one pass → (n, N) float32 logits, in any thread


def open_session(engine: str, onnx: bytes, shape: tuple[int, ...], threads: int) -> Compute:
    """Open a converted network for passes of one shape; each pass is computed by the thread that asks for it.

    Args:
        engine: of `RUNTIMES`.
        onnx: from `convert_onnx`.
        shape: (n, C, S, S) or (n, F) of every pass. With one shape a sample gets the same logits, to the last bit,
            alone or among others.
        threads: that may ask at the same time.

    Raises:
        UserError: the runtime is not installed, or does not take the network; what it returns raises it too, where the
            runtime fails while it computes.
    """
    told = f"--backend {engine}: {engine} fails here ({{why}}); use --backend torch"
    with translate_failure(told):
        session = RUNTIMES[engine](onnx, shape, threads)

    def compute(samples: np.ndarray) -> np.ndarray:
        with translate_failure(told):
            return session(samples)

    return compute


@contextmanager
def translate_failure(told: str) -> Iterator[None]:
    """Let what a runtime raises in this block be one line.

    Args:
        told: the line; {why} in it is what the runtime says.

    Raises:
        UserError: in place of a RuntimeError, as OpenVINO raises it, or of an exception of ONNX Runtime's own.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, RuntimeError) and type(error).__module__.partition(".")[0] != "onnxruntime":
            raise
        why = " ".join(str(error).split())[-_MOST_SIGNS:] or type(error).__name__
        raise UserError(told.replace("{why}", why)) from None


def check_installed(engine: str) -> None:
    """Raise the UserError of a runtime that is not installed."""
    import_extra(_package(engine), _package(engine), f"--backend {engine}")


def describe_version(engine: str) -> str:
    """Return the name of an engine with the version of its library, without importing it."""
    return f"{engine} {find_version(_package(engine))}"


def _package(engine: str) -> str:
    return engine.partition("-")[0]


@cache
def openvino_core() -> Core:
    """Return OpenVINO's entry, one for the whole process.

    The first network that a Core compiles gives the process another stack for signals, and its end puts back the one
    that was found. Two Cores that end in the order of their beginning leave one that is no more: the next Ctrl-C would
    end the process by a segmentation fault.

    Raises:
        UserError: openvino is not installed.
    """
    core: Core = import_extra("openvino", "openvino", "--backend openvino").Core()
    return core


def _open_onnxruntime(onnx: bytes, shape: tuple[int, ...], threads: int) -> Compute:
    check_installed("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # passes go side by side instead
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])

    def compute(samples: np.ndarray) -> np.ndarray:
        return np.asarray(session.run([LOGITS], {SAMPLES: samples})[0])

    return compute


def _open_openvino(onnx: bytes, shape: tuple[int, ...], threads: int, precision: str = "f32") -> Compute:
    check_installed("openvino")
    core = openvino_core()
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UserError("--backend openvino-bf16: this processor does not compute in bfloat16; use --backend openvino")
    # By the runtime's own reader: openvino.convert_model reports to its makers over the network.
    model = core.read_model(onnx)
    model.reshape(list(shape))
    settings = {"INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": threads, "INFERENCE_NUM_THREADS": threads}
    compiled, own = core.compile_model(model, "CPU", settings), threading.local()

    def compute(samples: np.ndarray) -> np.ndarray:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        return np.array(own.request.infer({SAMPLES: samples}, share_inputs=True)[LOGITS])  # a copy: it is used again

    return compute


def _open_openvino_bf16(onnx: bytes, shape: tuple[int, ...], threads: int) -> Compute:
    return _open_openvino(onnx, shape, threads, "bf16")


RUNTIMES: Mapping[str, Callable[[bytes, tuple[int, ...], int], Compute]] = {
    "onnxruntime": _open_onnxruntime,
    "openvino": _open_openvino,
    "openvino-bf16": _open_openvino_bf16,
}
