"""Flat: one linear logit for each node."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from hpa_hier.models.heads.head import Head


class Flat(Head):
    """One sigmoid's logit for each node, each from all features.

    Args:
        features: F, columns of the backbone's output.
        prevalence: (n,) share of training images with each node; the first guess of the untrained head, so that the
            first steps are not spent on learning that most places are rare.
        dropout: share of features left out in training.
    """

    def __init__(self, features: int, prevalence: np.ndarray, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(features, len(prevalence))
        share = np.clip(prevalence, 1e-4, 1 - 1e-4)
        with torch.no_grad():
            self.linear.weight.mul_(0.1)
            self.linear.bias.copy_(torch.from_numpy(np.log(share / (1 - share))))

    def logits(self, features: Tensor) -> Tensor:
        """Turn (B, F) features into (B, n) logits."""
        logits: Tensor = self.linear(self.dropout(features))
        return logits
