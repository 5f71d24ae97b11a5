"""Pooling: maps of any size to one vector an image."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_PYRAMID = (1, 2, 4)  # bins a side on each level, as in the source's smaller pyramid


class Pooling(nn.Module):
    """Maps in, vectors out.

    Args:
        features: F of the maps.

    Attributes:
        num_features: columns of the vectors.
    """

    vectors_per_map = 1

    def __init__(self, features: int) -> None:
        super().__init__()
        self.num_features = self.vectors_per_map * features


class Average(Pooling):
    """The mean over all places: how much of a pattern there is.

    >>> Average(1)(torch.tensor([[[[0.0, 2.0]]]]))
    tensor([[1.]])
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Turn (B, F, H, W) into (B, F)."""
        return maps.mean(dim=(2, 3))


class Maximum(Pooling):
    """The largest value over all places: whether a pattern is there at all."""

    def forward(self, maps: Tensor) -> Tensor:
        """Turn (B, F, H, W) into (B, F)."""
        return maps.amax(dim=(2, 3))


class AverageMaximum(Pooling):
    """Mean and largest value side by side."""

    vectors_per_map = 2

    def forward(self, maps: Tensor) -> Tensor:
        """Turn (B, F, H, W) into (B, 2 F)."""
        return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)


class GeneralizedMean(Pooling):
    """The mean of powers, whose exponent is learnt: 1 is the mean, towards infinity it is the largest value.

    Values below 1e-6 count as 1e-6, as roots ask for; it belongs behind a ReLU.

    Source: Radenović, Tolias & Chum, Fine-tuning CNN image retrieval with no human annotation, TPAMI 2019.

    >>> GeneralizedMean(1, exponent=1.0)(torch.tensor([[[[1.0, 3.0]]]])).detach()
    tensor([[2.]])
    """

    def __init__(self, features: int, exponent: float = 3.0) -> None:
        super().__init__(features)
        self.exponent = nn.Parameter(torch.tensor([exponent]))

    def forward(self, maps: Tensor) -> Tensor:
        """Turn (B, F, H, W) into (B, F)."""
        with torch.autocast(maps.device.type, enabled=False):  # powers leave half precision's range
            powers = maps.float().clamp(min=1e-6) ** self.exponent
            pooled: Tensor = powers.mean(dim=(2, 3)) ** (1 / self.exponent)
        return pooled


class Attention(Pooling):
    """The mean over places, each place weighted by what a gate makes of it.

    Source: gated attention of Ilse, Tomczak & Welling, Attention-based deep multiple instance learning, ICML 2018, with
    the places of a map for instances.

    Args:
        features: F of the maps.
        hidden: width of the gate.
    """

    def __init__(self, features: int, hidden: int = 64) -> None:
        super().__init__(features)
        self.look = nn.Conv2d(features, hidden, 1)
        self.gate = nn.Conv2d(features, hidden, 1)
        self.weigh = nn.Conv2d(hidden, 1, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Turn (B, F, H, W) into (B, F)."""
        scores = self.weigh(torch.tanh(self.look(maps)) * torch.sigmoid(self.gate(maps)))
        weights = torch.softmax(scores.flatten(2).float(), dim=2)  # (B, 1, places)
        pooled: Tensor = (maps.flatten(2) * weights).sum(dim=2)
        return pooled


class SpatialPyramid(Pooling):
    """The largest values in 1, 4 and 16 bins of the map: where a pattern is, at any size of the image.

    Source: He et al., Spatial pyramid pooling in deep convolutional networks, TPAMI 2015.

    >>> SpatialPyramid(3)(torch.zeros(2, 3, 7, 9)).shape
    torch.Size([2, 63])
    """

    vectors_per_map = sum(bins**2 for bins in _PYRAMID)

    def forward(self, maps: Tensor) -> Tensor:
        """Turn (B, F, H, W) into (B, 21 F)."""
        return torch.cat([functional.adaptive_max_pool2d(maps, bins).flatten(1) for bins in _PYRAMID], dim=1)


POOLINGS: dict[str, type[Pooling]] = {
    "average": Average,
    "max": Maximum,
    "avg_max": AverageMaximum,
    "gem": GeneralizedMean,
    "attention": Attention,
    "spp": SpatialPyramid,
}
