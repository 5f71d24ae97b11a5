"""Precision: which arithmetic pays on a device, and weights that are kept in half the space."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from hpa_hier.errors import UserError

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


@torch.no_grad()
def round_to_half(network: nn.Module) -> frozenset[str]:
    """Round filters and matrices, in place, to values that float16 holds, and return their names in `state_dict`.

    Biases, statistics and all else with one axis stay as they are: they hardly take space, and may be of any size.

    Raises:
        UserError: a weight is larger than float16 holds.

    >>> layer = nn.Linear(1, 1)
    >>> _ = layer.weight.data.fill_(0.1)
    >>> sorted(round_to_half(layer)), layer.weight.item()
    (['weight'], 0.0999755859375)
    """
    names = []
    for name, weights in network.named_parameters():
        if weights.ndim < 2:
            continue
        rounded = weights.half().float()
        if not torch.isfinite(rounded).all():
            raise UserError(
                f"training.save_dtype: float16 holds no more than 65504, and {name} has {weights.abs().max():.3g}; set "
                "it to float32"
            )
        weights.copy_(rounded)
        names.append(name)
    return frozenset(names)
