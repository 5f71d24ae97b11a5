"""A CUDA device that is pretended: tensors without values, whose devices and shapes torch still checks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def move(value: Any) -> Any:
    """Return tensors of the same shapes on a CUDA device, under torch's FakeTensorMode; modules in place."""
    if isinstance(value, nn.Module):
        for module in value.modules():
            for name, weights in list(module._parameters.items()):
                if weights is not None:
                    module._parameters[name] = nn.Parameter(move(weights.data))
            module._buffers.update({name: move(buffer) for name, buffer in module._buffers.items()})
        return value
    if isinstance(value, Tensor):
        return torch.empty(value.shape, dtype=value.dtype, device="cuda")
    if isinstance(value, tuple):
        return type(value)(*map(move, value)) if hasattr(value, "_fields") else tuple(map(move, value))
    return value
