"""Conversion: a member's network as ONNX or as an OpenVINO model, its normalisation and head included."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import torch

from hpa_hier.files.extras import import_extra
from hpa_hier.members.engines.sessions import LOGITS, SAMPLES, openvino_core
from hpa_hier.models.heads.head import Head

if TYPE_CHECKING:
    from openvino import Model

_TRACED = 2  # samples that a network is traced with; 1 would be taken for an axis of length 1 that is never longer


def convert_onnx(network: Head, shape: tuple[int, ...], extra: str = "onnxruntime") -> bytes:
    """Convert a network to an ONNX file.

    It takes `samples`, (B, C, S, S) uint8 images or (B, F) float32 vectors, and gives `logits`, (B, n) float32; B is
    any number from 1.

    Args:
        network: a member's, on the processor; it is put into evaluation.
        shape: (C, S, S) of an image, S in pixels, or (F,) of a vector.
        extra: of this package that brings the converter, named where it is missing.

    Returns:
        The file's content; the same for the same network and versions.

    Raises:
        UserError: onnx or onnxscript is not installed.
    """
    for module in ("onnx", "onnxscript"):
        import_extra(module, extra, "converting a network")
    samples = torch.zeros(_TRACED, *shape, dtype=torch.uint8 if len(shape) == 3 else torch.float32)
    dynamic = ({0: torch.export.Dim.DYNAMIC},)
    quiet = logging.getLogger("torch.onnx"), logging.getLogger("onnxscript")
    levels = [logger.level for logger in quiet]
    try:
        for logger in quiet:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), torch.no_grad():  # without gradients tracing takes half the time
            warnings.simplefilter("ignore")  # the converter's words to its own maintainers
            traced = torch.export.export(network.eval(), (samples,), dynamic_shapes=dynamic, strict=False)
            program = torch.onnx.export(
                traced, dynamo=True, verbose=False, input_names=[SAMPLES], output_names=[LOGITS], dynamic_shapes=dynamic
            )
    finally:
        for logger, level in zip(quiet, levels, strict=True):
            logger.setLevel(level)
    assert program is not None
    _drop_traces(program.model)
    content: bytes = program.model_proto.SerializeToString()
    return content


def convert_openvino(network: Head, shape: tuple[int, ...]) -> Model:
    """Convert a network to an OpenVINO model, which takes and gives what `convert_onnx` says; same arguments.

    `openvino.save_model` writes it; there, `compress_to_fp16=False` keeps its weights as they are.

    Raises:
        UserError: openvino, onnx or onnxscript is not installed.
    """
    return read_openvino(convert_onnx(network, shape, "openvino"))


def read_openvino(onnx: bytes) -> Model:
    """Read ONNX as an OpenVINO model.

    Raises:
        UserError: openvino is not installed.
    """
    # By the runtime's own reader: openvino.convert_model reports to its makers over the network.
    model: Model = openvino_core().read_model(onnx)
    return model


def _drop_traces(model: object) -> None:
    """Remove the Python files and lines that nodes came from, which are those of this machine."""
    import onnx_ir as ir  # comes with onnxscript

    assert isinstance(model, ir.Model)
    model.metadata_props.clear()
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        nodes = list(ir.traversal.RecursiveGraphIterator(graph))
        values = (*graph.inputs, *graph.initializers.values(), *(value for node in nodes for value in node.outputs))
        kept = (graph.metadata_props, *(node.metadata_props for node in nodes), *(one.metadata_props for one in values))
        for notes in kept:
            notes.clear()
