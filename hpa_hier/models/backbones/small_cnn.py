"""A small convolutional backbone for simulated cells and for machines without a GPU."""

from __future__ import annotations

from torch import Tensor, nn

from hpa_hier.errors import UserError
from hpa_hier.models.backbones.pooling import POOLINGS

MIN_SIZE = 32  # pixels; below it the last stage has nothing left to pool


class SmallCnn(nn.Module):
    """Four stages of two 3×3 convolutions; mean and maximum pooled over all places, unless another pooling is named.

    The mean says how much of a pattern there is, the maximum whether it is there at all: a rod or a centrosome fills
    few pixels of an image.

    The first stage is `width` wide, each later one twice the one before. The pooling `own` is avg_max.
    """

    def __init__(self, channels: int, width: int, pooling: str = "own") -> None:
        super().__init__()
        self.stem = _convolution(channels, width, stride=2)
        self.stages = nn.Sequential(
            _Stage(width, width, pool=False), *(_Stage(half * width, 2 * half * width) for half in (1, 2, 4))
        )
        self.pooling = POOLINGS["avg_max" if pooling == "own" else pooling](8 * width)
        self.num_features = self.pooling.num_features

    def forward(self, images: Tensor) -> Tensor:
        """Turn (B, C, H, W) normalised images into (B, num_features)."""
        if min(images.shape[-2:]) < MIN_SIZE:
            height, width = images.shape[-2:]
            raise UserError(f"small_cnn: images of {height}×{width} pixels; it needs at least {MIN_SIZE} a side")
        pooled: Tensor = self.pooling(self.stages(self.stem(images)))
        return pooled


class _Stage(nn.Module):
    """Halve the sides (but in the first stage), change the width, and refine with a residual convolution."""

    def __init__(self, before: int, after: int, pool: bool = True) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()
        self.widen = _convolution(before, after)
        self.refine = _convolution(after, after)

    def forward(self, maps: Tensor) -> Tensor:
        """Turn (B, before, H, W) into (B, after, H, W) or half those sides."""
        maps = self.widen(self.pool(maps))
        refined: Tensor = maps + self.refine(maps)
        return refined


def _convolution(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
    )
