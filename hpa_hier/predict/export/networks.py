"""Networks of members as files of a runtime, and test-time augmentation within them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import write_bytes
from hpa_hier.members.engines.convert import convert_onnx, read_openvino
from hpa_hier.members.tta import Tta
from hpa_hier.models.heads.head import Head

Format = Literal["onnx", "openvino"]
EXTRAS: dict[Format, str] = {"onnx": "onnxruntime", "openvino": "openvino"}  # that bring converter and runtime


def write_network(network: Head, shape: tuple[int, ...], tta: Tta, form: Format, stem: Path) -> Path:
    """Write a member's network, its normalisation and head included, and return the file.

    Args:
        network: on the processor.
        shape: (C, S, S) of an image, or (F,) of a vector.
        tta: test-time augmentation, which becomes a part of the network.
        form: onnx; or openvino, which has its weights in a second file.
        stem: the file without its suffix.

    Raises:
        UserError: crops or other sizes are asked for, or the converter is not installed.
    """
    check_tta(tta)
    turned = network if tta.plain else Turned(network, tta)
    onnx = convert_onnx(turned, shape, EXTRAS[form])
    if form == "onnx":
        write_bytes(stem.with_suffix(".onnx"), onnx)
        return stem.with_suffix(".onnx")
    model = read_openvino(onnx)
    import openvino

    openvino.save_model(model, stem.with_suffix(".xml"), compress_to_fp16=False)
    return stem.with_suffix(".xml")


def check_tta(tta: Tta) -> None:
    """Refuse test-time augmentation that resizes images, which no runtime does as OpenCV.

    Raises:
        UserError: naming the setting.
    """
    if tta.sizes:
        problem = f"ensemble.tta_sizes: {', '.join(map(str, tta.sizes))}"
    elif tta.kind == "d4_crops":
        problem = "ensemble.tta: d4_crops"
    else:
        return
    raise UserError(
        f"{problem} resizes images while they are scored, which an exported network cannot do; fit the ensemble again "
        "with ensemble.tta d4, flips or none, and without tta_sizes"
    )


class Turned(Head):
    """A network that answers with the mean, or the largest, of its answers for an image turned in several ways."""

    def __init__(self, network: Head, tta: Tta) -> None:
        super().__init__()
        self.network, self.count, self.merge = network, tta.count, tta.merge

    def logits(self, samples: Tensor) -> Tensor:
        """Turn (B, C, S, S) uint8 images into (B, n) logits."""
        copies = torch.cat([_turn(samples, turn) for turn in range(self.count)])
        each: Tensor = self.network(copies).unflatten(0, (self.count, -1))
        return each.amax(dim=0) if self.merge == "max" else each.mean(dim=0)


def _turn(images: Tensor, turn: int) -> Tensor:
    """Turn images in one of the eight ways, in the order of `turn_images`."""
    one = images.transpose(-1, -2) if turn >= 4 else images
    one = one.flip(-2) if turn % 4 in (1, 3) else one
    return one.flip(-1) if turn % 4 in (2, 3) else one
