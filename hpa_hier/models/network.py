"""A network: images as bytes, or feature vectors, in; one logit a node out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpa_hier.models.heads.head import Head


class Normalise(nn.Module):
    """Give each channel mean 0 and standard deviation 1, by those (C,) of the training part, in 0..255.

    >>> Normalise(np.array([10.0]), np.array([2.0]))(torch.tensor([[[[14]]]], dtype=torch.uint8)).flatten()
    tensor([2.])
    """

    mean: Tensor
    std: Tensor
    shape: tuple[int, ...] = (1, -1, 1, 1)
    least_std = 1.0  # a channel that is the same everywhere, as one filled with zeros, must not be divided by zero

    def __init__(self, mean: np.ndarray, std: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32).reshape(self.shape))
        clamped = torch.as_tensor(std, dtype=torch.float32).clamp(min=self.least_std)
        self.register_buffer("std", clamped.reshape(self.shape))

    def forward(self, images: Tensor, gain: Tensor | None = None) -> Tensor:
        """Turn (B, C, H, W) uint8 images into float32, their intensities multiplied by `gain` (B, C) before."""
        # One multiplication and one addition a pixel: (x·gain − mean) / std = x·(gain / std) − mean / std.
        scale = 1.0 / self.std if gain is None else gain[:, :, None, None] / self.std
        return torch.addcmul(-self.mean / self.std, images.float(), scale)


class Standardise(Normalise):
    """Give each feature of vectors mean 0 and standard deviation 1; a gap (NaN) counts as the mean.

    Args:
        mean: (F,) of the training part.
        std: (F,) of the training part, positive.
        low: (F,) smaller values count as these; None: no bound, as for members that were trained without.
        high: (F,) the same for larger ones.

    >>> bounds = np.array([0.0, 0.0]), np.array([5.0, 5.0])
    >>> Standardise(np.array([1.0, 2.0]), np.array([2.0, 1.0]), *bounds)(torch.tensor([[3.0, torch.nan], [9.0, 9.0]]))
    tensor([[1., 0.],
            [2., 3.]])
    """

    low: Tensor
    high: Tensor
    shape = (1, -1)
    least_std = 0.0

    def __init__(
        self, mean: np.ndarray, std: np.ndarray, low: np.ndarray | None = None, high: np.ndarray | None = None
    ) -> None:
        super().__init__(mean, std)
        for name, bound, unbounded in (("low", low, -np.inf), ("high", high, np.inf)):
            values = np.full(np.shape(mean), unbounded) if bound is None else bound
            self.register_buffer(name, torch.as_tensor(values, dtype=torch.float32).reshape(self.shape))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:  # noqa: ANN401
        """Load weights; those that were written before there were bounds have none."""
        for name in ("low", "high"):
            state_dict.setdefault(prefix + name, getattr(self, name))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def forward(self, images: Tensor, gain: Tensor | None = None) -> Tensor:
        """Turn (B, F) vectors into standardised ones; vectors have no gain."""
        vectors = images.float()
        near = vectors.clamp(self.low, self.high)
        # Some runtimes that a network is converted for clamp a gap to a bound, so it is looked for before.
        return torch.where(vectors.isnan(), 0.0, torch.nan_to_num((near - self.mean) / self.std, nan=0.0))


class Network(Head):
    """A normalisation, a backbone, new layers above it, and a head, which may be a network again.

    The normalisation travels with the weights, so that nobody who scores with them has to know how the samples were
    normalised in training.

    Args:
        backbone: (B, C, H, W) or (B, F) normalised → (B, G).
        head: (B, G), or what `top` makes of it, → (B, n) logits.
        normalise: samples, and a gain of each channel or None → float32.
        top: new layers that learn at the head's rate; None: none.
        auxiliary: a second head of m nodes, which is trained and never answers; None: none.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: Head,
        normalise: Normalise,
        top: nn.Module | None = None,
        auxiliary: Head | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.top = top or nn.Identity()
        self.head = head
        self.auxiliary = auxiliary
        self.normalise = normalise
        self.register_state_dict_post_hook(_move_statistics_up)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_move_statistics_down)  # type: ignore[no-untyped-call]

    def features(self, samples: Tensor, gain: Tensor | None = None) -> Tensor:
        """Return what the head sees of (B, C, H, W) uint8 images, or of (B, F) float32 vectors; `gain` is (B, C)."""
        features: Tensor = self.top(self.backbone(self.normalise(samples, gain)))
        return features

    def logits(self, samples: Tensor) -> Tensor:
        """Turn samples into (B, n) float32 logits as losses take them."""
        return self.head.logits(self.features(samples)).float()

    def answers(self, logits: Tensor) -> Tensor:
        """Turn (B, n) `logits` into those that are answered."""
        return self.head.answers(logits)

    def training_logits(self, samples: Tensor, gain: Tensor | None = None, *, first_stage: bool = False) -> Tensor:
        """Turn samples into the (B, n + m) float32 logits that a training step's loss takes."""
        features = self.features(samples, gain)
        logits = self.head.training_logits(features, first_stage=first_stage).float()
        return logits if self.auxiliary is None else torch.cat([logits, self.auxiliary(features).float()], dim=1)

    def training_targets(self, present: Tensor, known: Tensor, *, first_stage: bool = False) -> tuple[Tensor, Tensor]:
        """Turn (B, n + m) closed targets, and what of them is known, into those of `training_logits`."""
        return self.head.training_targets(present, known, first_stage=first_stage)

    def final_features(self, samples: Tensor) -> Tensor:
        """Return the features that the last head sees, through the networks in between."""
        return self.head.final_features(self.features(samples))


class Averaged(Head):
    """The mean of the answers of networks, at least one, for the same nodes; summed in their order."""

    def __init__(self, networks: Sequence[Head]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def logits(self, samples: Tensor) -> Tensor:
        """Turn samples into (B, n) logits."""
        first, *rest = self.networks
        total: Tensor = first(samples)
        for network in rest:
            total = total + network(samples)
        return total / len(self.networks)


# In a member's weights, mean and standard deviation are the network's own.
def _move_statistics_up(network: nn.Module, weights: dict[str, Any], prefix: str, _: object) -> None:
    for name in ("mean", "std"):
        weights[prefix + name] = weights.pop(f"{prefix}normalise.{name}")


def _move_statistics_down(network: nn.Module, weights: dict[str, Any], prefix: str, *_: object) -> None:
    for name in ("mean", "std"):
        if prefix + name in weights:
            weights[f"{prefix}normalise.{name}"] = weights.pop(prefix + name)
