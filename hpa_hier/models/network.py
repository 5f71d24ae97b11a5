"""A network: images as bytes in, one logit a node out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class Network(nn.Module):
    """A normalisation, a backbone and a head.

    The mean and standard deviation of each channel travel with the weights, so that nobody who scores with them has to
    know how the images were normalised in training.

    Args:
        backbone: (B, C, H, W) normalised → (B, F).
        head: (B, F) → (B, n) logits.
        mean: (C,) intensity of each channel over the training part, 0..255.
        std: (C,) likewise.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, head: nn.Module, mean: np.ndarray, std: np.ndarray) -> None:
        super().__init__()
        self.backbone = backbone
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
        # One multiplication and one addition a pixel: (x·gain − mean) / std = x·(gain / std) − mean / std.
        scale = 1.0 / self.std if gain is None else gain[:, :, None, None] / self.std
        normalised = torch.addcmul(-self.mean / self.std, images.float(), scale)
        logits: Tensor = self.head(self.backbone(normalised))
        return logits.float()
