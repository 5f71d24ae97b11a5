"""ArcFace: features turned so that images of one antibody lie together, and a vote of the nearest neighbours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hpa_hier.models.heads.head import Head
from hpa_hier.settings.training import ArcfaceSettings

_PRIOR = 0.05  # weight of the prevalence beside all neighbours' 1


class NeighbourVote(Head):
    """Embeddings on a sphere: in training their cosines to each antibody's centre, else the nearest samples' vote.

    Args:
        features: as `prevalence` and `dropout`, those of `Flat`.
        settings: widths, neighbours and temperature.
        antibodies: A, that training tells apart; 0 where weights are loaded later.
        samples: T, that are remembered; 0 likewise.
    """

    bank: Tensor
    present: Tensor
    known: Tensor
    prevalence: Tensor

    def __init__(
        self,
        features: int,
        prevalence: np.ndarray,
        dropout: float,
        settings: ArcfaceSettings,
        antibodies: int = 0,
        samples: int = 0,
    ) -> None:
        super().__init__()
        self._neighbours, self._temperature = settings.neighbours, settings.temperature
        n, E = len(prevalence), settings.embedding
        self.embed = nn.Sequential(nn.Dropout(dropout), nn.Linear(features, E), nn.BatchNorm1d(E))
        self.centres = nn.Parameter(torch.randn(antibodies, E))
        self.register_buffer("bank", torch.zeros(samples, E))
        self.register_buffer("present", torch.zeros(samples, n, dtype=torch.bool))
        self.register_buffer("known", torch.zeros(samples, n, dtype=torch.bool))
        self.register_buffer("prevalence", torch.as_tensor(prevalence, dtype=torch.float32))

    def embedding(self, features: Tensor) -> Tensor:
        """Return (B, E) embeddings of length 1 of (B, F) features."""
        return functional.normalize(self.embed(features), dim=1)

    def remember(self, bank: Tensor, present: Tensor, known: Tensor) -> None:
        """Take the embeddings (T, E) of samples, and which nodes they have, (T, n), as those that vote."""
        self.bank.copy_(bank)
        self.present.copy_(present)
        self.known.copy_(known)

    def logits(self, features: Tensor) -> Tensor:
        """Turn (B, F) features into (B, n) logits: the vote of the nearest remembered samples, by similarity."""
        similarity, rows = self.neighbours(self.embedding(features))
        weight = torch.softmax(similarity / self._temperature, dim=1)[:, :, None]
        known = weight * self.known[rows]
        share = (known * self.present[rows]).sum(dim=1) + _PRIOR * self.prevalence
        return torch.logit(share / (known.sum(dim=1) + _PRIOR), eps=1e-6)

    def training_logits(self, features: Tensor, *, first_stage: bool = False) -> Tensor:
        """Turn (B, F) features into (B, A) cosines to each antibody's centre."""
        return _cosines(self.embedding(features), functional.normalize(self.centres, dim=1))

    def neighbours(self, embedded: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cosines (B, K) of the samples nearest to (B, E) embeddings, nearest first, and their rows."""
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


def find_vote(network: nn.Module) -> NeighbourVote:
    """Return the voting head within a network."""
    return next(module for module in network.modules() if isinstance(module, NeighbourVote))


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

    >>> arcface(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]]), scale=1.0, margin=0.0)
    tensor(0.6931)
    """
    cosines = cosines.float().clamp(-1 + 1e-6, 1 - 1e-6)
    moved = cosines * math.cos(margin) - torch.sqrt(1 - cosines**2) * math.sin(margin)
    moved = torch.where(cosines > -math.cos(margin), moved, cosines - margin * math.sin(margin))
    return functional.cross_entropy(scale * torch.where(present > 0, moved, cosines), present.argmax(dim=1))
