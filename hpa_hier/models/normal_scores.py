"""Normal scores: features of vectors by their ranks in the training part, instead of their values or beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hpa_hier.models.network import Standardise


@dataclass(frozen=True)
class RankTable:
    """The normal score of some values of each feature; between them it is a straight line."""

    values: np.ndarray  # (F, K) ascending along K; the last one may stand several times
    scores: np.ndarray  # (F, K) mean 0 over the training part; 0 for a feature that tells nothing

    @classmethod
    def untrained(cls, features: int) -> RankTable:
        """Return a table that weights will be loaded into."""
        return cls(np.zeros((features, 2)), np.zeros((features, 2)))


class NormalScores(Standardise):
    """Give each feature the normal score of its rank in the training part; a gap (NaN) counts as the mean, 0.

    A score depends on the order of values alone, so that heavy tails and columns of any size are alike. Beyond the
    largest and the smallest value seen scores stay what they are there.

    Args:
        mean: (F,) of the training part.
        std: (F,) of the training part, positive.
        ranks: scores of values.
        low: (F,) as for `Standardise`, of which the values beside the scores are.
        high: (F,) the same for larger ones.
        beside: whether the standardised values come first, (B, 2F) instead of (B, F).

    >>> table = RankTable(np.array([[0.0, 10.0, 1000.0]]), np.array([[-1.2, 0.0, 1.2]]))
    >>> NormalScores(np.zeros(1), np.ones(1), table)(torch.tensor([[5.0], [10.0], [9e9], [torch.nan]])).flatten()
    tensor([-0.6000,  0.0000,  1.2000,  0.0000])
    """

    rank_values: Tensor
    rank_scores: Tensor

    def __init__(
        self,
        mean: np.ndarray,
        std: np.ndarray,
        ranks: RankTable,
        low: np.ndarray | None = None,
        high: np.ndarray | None = None,
        *,
        beside: bool = False,
    ) -> None:
        super().__init__(mean, std, low, high)
        self.register_buffer("rank_values", torch.as_tensor(ranks.values, dtype=torch.float32))
        self.register_buffer("rank_scores", torch.as_tensor(ranks.scores, dtype=torch.float32))
        self.beside = beside

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:  # noqa: ANN401
        """Load weights, with as many values a feature as they have."""
        for name in ("rank_values", "rank_scores"):
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name]))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def forward(self, images: Tensor, gain: Tensor | None = None) -> Tensor:
        """Turn (B, F) vectors into (B, F) scores, or into (B, 2F) standardised values and scores."""
        scores = self.score(images.float())
        return torch.cat([super().forward(images, gain), scores], dim=1) if self.beside else scores

    def score(self, vectors: Tensor) -> Tensor:
        """Return the scores (B, F) of vectors (B, F)."""
        columns = vectors.T.contiguous()
        right = _count_smaller(self.rank_values, columns).clamp(1, self.rank_values.shape[1] - 1)
        below, above = (self.rank_values.gather(1, index) for index in (right - 1, right))
        first, last = (self.rank_scores.gather(1, index) for index in (right - 1, right))
        place = torch.where(above > below, (columns - below) / (above - below), 0.0).clamp(0, 1)
        return torch.where(columns.isnan(), 0.0, torch.lerp(first, last, place)).T


def _count_smaller(ascending: Tensor, columns: Tensor) -> Tensor:
    """Return (F, B) how many of the values (F, K) of a feature are smaller than each of `columns` (F, B)."""
    if not torch.compiler.is_exporting():
        return torch.searchsorted(ascending, columns)
    # Other formats have no such search: halves are tried, in as many steps as K has binary digits.
    K = ascending.shape[1]
    found = torch.zeros_like(columns, dtype=torch.int64)
    for bit in reversed(range(K.bit_length())):
        tried = found + (1 << bit)
        smaller = ascending.gather(1, (tried - 1).clamp(max=K - 1)) < columns
        found = torch.where(smaller & (tried <= K), tried, found)
    return found


WIDTHS: Mapping[str, int] = {"standardise": 1, "normal_scores": 1, "both": 2}  # inputs of a network a feature


def normalise_vectors(
    rule: str,
    mean: np.ndarray,
    std: np.ndarray,
    ranks: RankTable | None = None,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
) -> Standardise:
    """Return what `training.vectors` asks for; without `ranks`, they are loaded with the weights."""
    if rule == "standardise":
        return Standardise(mean, std, low, high)
    table = ranks or RankTable.untrained(len(mean))
    return NormalScores(mean, std, table, low, high, beside=rule == "both")
