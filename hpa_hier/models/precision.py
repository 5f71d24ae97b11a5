"""Which arithmetic pays: by device, by processor and by backbone."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]

# Backbones made of full convolutions train 1.5 to 3 times faster in bfloat16 on processors that have it; networks of
# depthwise convolutions lose as much in conversions as they gain.
_FULL_CONVOLUTIONS = (
    *("small_cnn", "two_conv_cnn", "four_conv_cnn"),
    *("resnet", "resnext", "wide_resnet", "vgg", "densenet", "seresnet"),
)


def precision_for(device: torch.device, backbone: str) -> Precision:
    """Choose the precision that trains `backbone` fastest on `device` without changing what is learnt.

    >>> precision_for(torch.device("cpu"), "mlp")
    '32-true'
    """
    if backbone == "mlp":  # its steps are too small for conversions to pay
        return "32-true"
    if device.type == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    if device.type == "cpu" and processor_has_bf16() and backbone.startswith(_FULL_CONVOLUTIONS):
        return "bf16-mixed"
    return "32-true"


def processor_has_bf16() -> bool:
    """Say whether the processor multiplies bfloat16 itself; emulated, it is slower than float32."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private, and absent in some versions
    return any(getattr(torch.cpu, name, lambda: False)() for name in probes)
