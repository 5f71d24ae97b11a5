"""A network: images as bytes, or feature vectors, in; one logit a node out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from hpa_hier.models.heads.ancestry import Ancestry
from hpa_hier.models.heads.arcface import NeighbourVote
from hpa_hier.models.losses.max_constraint import Lifted


class Network(nn.Module):
    """A normalisation, a backbone, what stands between, and a head.

    The mean and standard deviation of each channel travel with the weights, so that nobody who scores with them has to
    know how the images were normalised in training.

    Args:
        backbone: (B, C, H, W) normalised → (B, F).
        head: (B, G) → (B, n) logits.
        mean: (C,) intensity of each channel over the training part, 0..255.
        std: (C,) likewise.
        top: (B, F) → (B, G), new layers that learn at the head's rate; None: G is F.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: nn.Module, head: nn.Module, mean: np.ndarray, std: np.ndarray, top: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.top = top or nn.Identity()
        self.head = head
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32).reshape(1, -1, 1, 1))
        # A channel that is the same everywhere, as one filled with zeros, must not be divided by zero.
        self.register_buffer("std", torch.as_tensor(std, dtype=torch.float32).clamp(min=1.0).reshape(1, -1, 1, 1))

    def forward(self, images: Tensor, gain: Tensor | None = None) -> Tensor:
        """Score images.

        Args:
            images: (B, C, H, W) uint8.
            gain: (B, C) factor on each channel's intensity, as augmentation draws it; None is 1.

        Returns:
            (B, n) logits.
        """
        logits: Tensor = self.head(self.features(images, gain))
        return logits.float()

    def unlifted(self, images: Tensor) -> Tensor:
        """Return (B, n) logits as losses take them: of a head that lifts its answers, those before."""
        head = self.head.head if isinstance(self.head, Lifted) else self.head
        logits: Tensor = head(self.features(images))
        return logits.float()

    def lifted(self, logits: Tensor) -> Tensor:
        """Return what the network answers where its head said `logits` (B, n)."""
        return self.head.lift(logits) if isinstance(self.head, Lifted) else logits

    def conditional(self, images: Tensor, gain: Tensor | None = None) -> Tensor:
        """Return (B, n) logits of each node given its parents; only a chain head has them."""
        logits: Tensor = self.head.conditional(self.features(images, gain))  # type: ignore[operator]
        return logits

    def conditional_targets(self, present: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Turn (B, n) closed targets and what is known into those of `conditional`, as the chain's ancestry has it."""
        ancestry: Ancestry = self.head.ancestry  # type: ignore[assignment]
        return ancestry.conditional_targets(present, known)

    def features(self, images: Tensor, gain: Tensor | None = None) -> Tensor:
        """Return the (B, G) features that the head looks at."""
        # One multiplication and one addition a pixel: (x·gain − mean) / std = x·(gain / std) − mean / std.
        scale = 1.0 / self.std if gain is None else gain[:, :, None, None] / self.std
        normalised = torch.addcmul(-self.mean / self.std, images.float(), scale)
        features: Tensor = self.top(self.backbone(normalised))
        return features


class VectorNetwork(Network):
    """A standardisation, a backbone and a head, for samples that are feature vectors.

    Args:
        backbone: (B, F) standardised → (B, G).
        head: (B, G) → (B, n) logits.
        mean: (F,) of each feature over the training part.
        std: (F,) likewise, positive.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, mean: np.ndarray, std: np.ndarray) -> None:
        nn.Module.__init__(self)  # the images' own normalisation has other shapes and limits
        self.backbone = backbone
        self.top = nn.Identity()
        self.head = head
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32).reshape(1, -1))
        self.register_buffer("std", torch.as_tensor(std, dtype=torch.float32).reshape(1, -1))

    def features(self, images: Tensor, gain: Tensor | None = None) -> Tensor:
        """Return the backbone's features of (B, F) float32 vectors; a gap (NaN) counts as the training part's mean."""
        standardised = torch.nan_to_num((images.float() - self.mean) / self.std, nan=0.0)
        features: Tensor = self.backbone(standardised)
        return features


def head_that_votes(network: Network) -> NeighbourVote:
    """Return a network's voting head; that of a frozen backbone stands on its head's own layers."""
    head = network.head
    while isinstance(head, Network):
        head = head.head
    assert isinstance(head, NeighbourVote)
    return head
