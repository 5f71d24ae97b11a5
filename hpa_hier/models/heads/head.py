"""Head: what a network, and a training, ask of whatever turns features into logits of nodes; the flat one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class Head(nn.Module):
    """Features in, logits of n nodes out; a head of its own kind overrides what differs.

    Called, it gives the answers: `answers(logits(features))`.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Turn (B, F) features into the answers, (B, n) logits."""
        return self.answers(self.logits(features))

    def logits(self, features: Tensor) -> Tensor:
        """Turn (B, F) features into (B, n) logits as losses take them."""
        raise NotImplementedError

    def answers(self, logits: Tensor) -> Tensor:
        """Turn (B, n) `logits` into those that are answered, such as lifted ones."""
        return logits

    def training_logits(self, features: Tensor, *, first_stage: bool = False) -> Tensor:
        """Turn (B, F) features into the logits that the loss takes, in the first of two stages or in the last."""
        return self.logits(features)

    def training_targets(self, present: Tensor, known: Tensor, *, first_stage: bool = False) -> tuple[Tensor, Tensor]:
        """Turn (B, n) closed targets, and what of them is known, into those of `training_logits`."""
        return present, known

    def final_features(self, features: Tensor) -> Tensor:
        """Return the features that the last head sees; these, where no network is in between."""
        return features


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
        start_at(self.linear, prevalence)

    def logits(self, features: Tensor) -> Tensor:
        """Turn (B, F) features into (B, n) logits."""
        logits: Tensor = self.linear(self.dropout(features))
        return logits


@torch.no_grad()
def start_at(linear: nn.Module, prevalence: np.ndarray) -> None:
    """Let a layer of n logits guess the prevalence, (n,) in [0, 1], before it is trained."""
    share = np.clip(prevalence, 1e-4, 1 - 1e-4)
    linear.get_parameter("weight").mul_(0.1)
    linear.get_parameter("bias").copy_(torch.from_numpy(np.log(share / (1 - share))))
