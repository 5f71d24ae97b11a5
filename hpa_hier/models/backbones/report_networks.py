"""Networks of the course reports that this project grew out of, as backbones: all but their last dense layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from hpa_hier.errors import UserError
from hpa_hier.models.backbones.mlp import dense_layers
from hpa_hier.models.backbones.pooling import POOLINGS, probe_shape


class ReportCnn(nn.Module):
    """Convolutions, then a flattening or another pooling, then dense layers; the head adds the last one.

    Args:
        name: for messages.
        maps: (B, C, H, W) → (B, F, h, w).
        dense: widths of the dense layers below the head.
        channels: C of the images.
        size: pixels, side of the images that flattening is built for.
        pooling: own, which flattens and so takes one size only, or a pooling's name.

    Raises:
        UserError: images too small for the convolutions.
    """

    def __init__(
        self, name: str, maps: nn.Module, dense: Sequence[int], channels: int, size: int, pooling: str
    ) -> None:
        super().__init__()
        self.name, self.size = name, size
        self.maps = maps
        try:
            shape = probe_shape(maps, channels, size)
        except RuntimeError:
            raise UserError(f"{name}: images of {size}×{size} pixels are too small for it") from None
        pooled: Any = nn.Flatten() if pooling == "own" else POOLINGS[pooling](shape[1])
        self.pooling = pooled
        self.dense = dense_layers(shape.numel() if pooling == "own" else pooled.num_features, dense)
        self.num_features = dense[-1]

    def forward(self, images: Tensor) -> Tensor:
        """Turn (B, C, H, W) normalised images into (B, num_features)."""
        if isinstance(self.pooling, nn.Flatten) and images.shape[-2:] != (self.size, self.size):
            height, width = images.shape[-2:]
            raise UserError(
                f"{self.name}: built for {self.size}×{self.size} pixels, got {height}×{width}; "
                "with training.pooling: spp it takes any size"
            )
        features: Tensor = self.dense(self.pooling(self.maps(images)))
        return features


def two_conv_cnn(channels: int, size: int, pooling: str = "own") -> ReportCnn:
    """Build report one's network: two convolutions, two poolings, two dense layers, the second of them the head.

    The report gives no widths; these are those of its library's first example. Its images were divided by 255; here
    each channel is standardised, as for all networks.
    """
    maps = nn.Sequential(
        *(nn.Conv2d(channels, 32, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
    )
    return ReportCnn("two_conv_cnn", maps, (128,), channels, size, pooling)


def four_conv_cnn(channels: int, size: int, pooling: str = "own") -> ReportCnn:
    """Build report two's network: four convolutions with batch norm and dropout, three dense layers, the last the head.

    Its text says 16, 32, 64 and 128 filters, its table 64 × 6 × 6 values after them. Built are the text's widths with
    convolutions and poolings that leave 6 × 6 of 128 pixels. The dense layers' widths and the dropout's share, which
    it does not give, are chosen.
    """
    layers: list[nn.Module] = []
    before = channels
    for width in (16, 32, 64, 128):
        layers += [nn.Conv2d(before, width, 3), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        layers += [nn.MaxPool2d(2), nn.Dropout(0.25)]
        before = width
    return ReportCnn("four_conv_cnn", nn.Sequential(*layers), (512, 128), channels, size, pooling)


REPORT_NETWORKS = {"two_conv_cnn": two_conv_cnn, "four_conv_cnn": four_conv_cnn}
