"""A timm model with another pooling: its maps as they come out of the last stage, pooled as the settings say."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from hpa_hier.errors import UserError
from hpa_hier.models.backbones.pooling import POOLINGS


class Pooled(nn.Module):
    """A timm model's stages with a pooling of our own.

    What the model has behind its maps, as dense layers of its own top, is left out. Where its stages end in a maximum
    pooling, as VGG's do, a spatial pyramid takes the place of that one, as in the source of the pyramid.

    Args:
        trunk: the timm model, with `forward_features`.
        name: of the model, for messages.
        pooling: name of the pooling.
        channels: C of the images.
        size: pixels, side of the images that the maps are looked at with.

    Raises:
        UserError: the model ends in tokens, not in maps.
    """

    def __init__(self, trunk: Any, name: str, pooling: str, channels: int, size: int) -> None:  # noqa: ANN401 - timm's
        super().__init__()
        self._last = getattr(trunk, "output_fmt", "NCHW") == "NHWC"
        self.trunk = trunk
        if pooling == "spp":
            _without_last_pooling(trunk)
        shape = _only_what_makes_maps(trunk, torch.zeros(1, channels, size, size))
        if len(shape) != 4:
            raise UserError(
                f"training.pooling: {pooling!r} pools maps, and {name} ends in tokens; set it to own, or take a "
                "convolutional backbone"
            )
        self.pooling = POOLINGS[pooling](shape[-1 if self._last else 1])
        self.num_features = self.pooling.num_features

    def forward(self, images: Tensor) -> Tensor:
        """Turn (B, C, H, W) normalised images into (B, num_features)."""
        maps = self.trunk.forward_features(images)
        pooled: Tensor = self.pooling(maps.permute(0, 3, 1, 2) if self._last else maps)
        return pooled


def _without_last_pooling(trunk: Any) -> None:  # noqa: ANN401 - timm's models have no common type
    stages = getattr(trunk, "features", None)
    if isinstance(stages, nn.Sequential) and isinstance(stages[-1], nn.MaxPool2d):
        stages[-1] = nn.Identity()


def _only_what_makes_maps(trunk: Any, images: Tensor) -> torch.Size:  # noqa: ANN401 - timm's models have no common type
    """Take out what the maps do not pass through, whose weights would never be trained; return the maps' shape."""
    used: set[str] = set()

    def note(name: str, module: nn.Module) -> RemovableHandle:
        return module.register_forward_hook(lambda *_: used.add(name.partition(".")[0]))

    hooks = [note(name, module) for name, module in trunk.named_modules() if name]
    trunk.eval()
    with torch.no_grad():
        shape: torch.Size = trunk.forward_features(images).shape
    trunk.train()
    for hook in hooks:
        hook.remove()
    for name, child in list(trunk.named_children()):
        if name not in used and any(True for _ in child.parameters()):
            setattr(trunk, name, nn.Identity())
    return shape
