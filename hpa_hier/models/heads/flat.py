"""Heads: features to one logit a node."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hpa_hier.models.heads.ancestry import Ancestry
from hpa_hier.models.heads.chain import Chain
from hpa_hier.models.heads.levels import LevelsRnn
from hpa_hier.models.losses.max_constraint import Lifted


class Flat(nn.Module):
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

    def forward(self, features: Tensor) -> Tensor:
        """Turn (B, F) features into (B, n) logits."""
        logits: Tensor = self.linear(self.dropout(features))
        return logits


@dataclass(frozen=True)
class HeadRequest:
    """What is asked of a head."""

    name: str  # flat, chain or levels
    features: int  # F, columns of the backbone's output
    prevalence: np.ndarray  # (n,) share of training images with each node
    ancestry: Ancestry  # of the n nodes
    dropout: float = 0.0  # share of features left out in training
    hidden: int = 256  # levels: width of the recurrent state
    node_dropout: float = 0.0  # levels: share of the fed-back probabilities left out in training
    lifted: bool = False  # answers are lifted, as the loss max_constraint trains for


def build_head(request: HeadRequest) -> nn.Module:
    """Build a head: (B, F) features → (B, n) logits."""
    if request.name == "chain":
        return Chain(request.features, request.ancestry, request.prevalence, request.dropout)
    if request.name == "levels":
        levels = LevelsRnn(request.features, request.ancestry.levels, request.hidden, request.node_dropout)
        levels.start_at(request.prevalence)
        head: nn.Module = nn.Sequential(nn.Dropout(request.dropout), levels)
    else:
        head = Flat(request.features, request.prevalence, request.dropout)
    return Lifted(head, request.ancestry) if request.lifted else head
