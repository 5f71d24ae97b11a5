"""Pooling: maps of any size to one vector an image; and a timm model with another pooling than its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from hpa_hier.errors import UserError

_PYRAMID = (1, 2, 4)  # bins a side on each level, as in the source's smaller pyramid


class Pooling(nn.Module):
    """Maps of F features in, vectors of `num_features` out."""

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
    the places of a map for instances; the gate is 64 wide.
    """

    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.look = nn.Conv2d(features, 64, 1)
        self.gate = nn.Conv2d(features, 64, 1)
        self.weigh = nn.Conv2d(64, 1, 1)

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


@torch.no_grad()
def probe_shape(network: nn.Module, channels: int, size: int) -> torch.Size:
    """Return the shape of what one image of C channels and `size` pixels a side becomes, leaving statistics alone."""
    network.eval()
    try:
        shape: torch.Size = network(torch.zeros(1, channels, size, size)).shape
    finally:
        network.train()
    return shape


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
        stages = getattr(trunk, "features", None)
        if pooling == "spp" and isinstance(stages, nn.Sequential) and isinstance(stages[-1], nn.MaxPool2d):
            stages[-1] = nn.Identity()
        shape = _keep_what_makes_maps(trunk, torch.zeros(1, channels, size, size))
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


def _keep_what_makes_maps(trunk: Any, images: Tensor) -> torch.Size:  # noqa: ANN401 - timm's
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
