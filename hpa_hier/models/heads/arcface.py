"""Metric learning: features turned so that images of one antibody lie together, and a vote of the nearest ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

_PRIOR = 0.05  # weight of the prevalence beside all neighbours' 1


@dataclass(frozen=True)
class ArcfaceRequest:
    """What is asked of a head that votes."""

    features: int  # F, columns of the backbone's output
    prevalence: np.ndarray  # (n,) share of training images with each node
    antibodies: int  # A, that are told apart in training; 0 where weights are loaded later
    samples: int  # T, that are remembered; 0 likewise
    dropout: float
    embedding: int  # E
    neighbours: int
    temperature: float  # difference in similarity that makes a neighbour count e times as much


class NeighbourVote(nn.Module):
    """Embeddings on a sphere: in training their cosines to each antibody's centre, else the nearest samples' vote."""

    bank: Tensor
    present: Tensor
    known: Tensor
    prevalence: Tensor

    def __init__(self, request: ArcfaceRequest) -> None:
        super().__init__()
        self._neighbours, self._temperature = request.neighbours, request.temperature
        n, E = len(request.prevalence), request.embedding
        self.embed = nn.Sequential(nn.Dropout(request.dropout), nn.Linear(request.features, E), nn.BatchNorm1d(E))
        self.centres = nn.Parameter(torch.randn(request.antibodies, E))
        self.register_buffer("bank", torch.zeros(request.samples, E))
        self.register_buffer("present", torch.zeros(request.samples, n, dtype=torch.bool))
        self.register_buffer("known", torch.zeros(request.samples, n, dtype=torch.bool))
        self.register_buffer("prevalence", torch.as_tensor(request.prevalence, dtype=torch.float32))

    def embedding(self, features: Tensor) -> Tensor:
        """Return (B, E) embeddings of length 1 of (B, F) features."""
        return functional.normalize(self.embed(features), dim=1)

    def remember(self, bank: Tensor, present: Tensor, known: Tensor) -> None:
        """Take the embeddings (T, E) of samples, and which nodes they have, (T, n), as those that vote."""
        for name, value in (("bank", bank), ("present", present), ("known", known)):
            getattr(self, name).copy_(value)

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, A) cosines in training, (B, n) logits otherwise."""
        embedded = self.embedding(features)
        if self.training:
            return _cosines(embedded, functional.normalize(self.centres, dim=1))
        similarity, nearest = self.neighbours(embedded)
        weight = torch.softmax(similarity / self._temperature, dim=1)[:, :, None]
        told = weight * self.known[nearest]
        share = (told * self.present[nearest]).sum(dim=1) + _PRIOR * self.prevalence
        return torch.logit(share / (told.sum(dim=1) + _PRIOR), eps=1e-6)

    def neighbours(self, embedded: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cosines (B, K) of the samples nearest to (B, E) embeddings, nearest first, and their places."""
        found = _cosines(embedded, self.bank).topk(min(self._neighbours, len(self.bank)), dim=1)
        return found.values, found.indices

    def _load_from_state_dict(self, state: Mapping[str, Any], prefix: str, *rest: Any) -> None:  # noqa: ANN401
        # How many antibodies and samples there were, only the weights tell.
        with torch.no_grad():
            for name in ("bank", "present", "known"):
                if prefix + name in state:
                    setattr(self, name, torch.empty_like(state[prefix + name], device=self.bank.device))
            if prefix + "centres" in state:
                self.centres = nn.Parameter(torch.empty_like(state[prefix + "centres"], device=self.centres.device))
        super()._load_from_state_dict(state, prefix, *rest)


def _cosines(vectors: Tensor, others: Tensor) -> Tensor:
    """Multiply in whole precision: half of it is a step of 0.004 near 1, a tenth of a logit behind the scale."""
    with torch.autocast(vectors.device.type, enabled=False):
        return vectors.float() @ others.float().T


def arcface(cosines: Tensor, present: Tensor, scale: float, margin: float) -> Tensor:
    """Return the mean loss of telling antibodies apart with an angle to spare.

    Args:
        cosines: (B, A) in [-1, 1], of each sample to each antibody's centre.
        present: (B, A), 1 at the sample's own antibody.
        scale: of the cosines before the softmax.
        margin: radians that a sample has to be nearer to its own centre.

    Source: Deng et al., ArcFace, CVPR 2019; beyond π - margin the cosine falls along a line, as in the authors' code.
    """
    cosines = cosines.float().clamp(-1 + 1e-6, 1 - 1e-6)
    moved = cosines * math.cos(margin) - torch.sqrt(1 - cosines**2) * math.sin(margin)
    moved = torch.where(cosines > -math.cos(margin), moved, cosines - margin * math.sin(margin))
    return functional.cross_entropy(scale * torch.where(present > 0, moved, cosines), present.argmax(dim=1))
