"""Levels: a recurrent network whose time steps are the levels of the tree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hpa_hier.models.heads.ancestry import Ancestry
from hpa_hier.models.heads.head import Head, start_at
from hpa_hier.settings.training import LevelsSettings


class LevelsRnn(nn.Module):
    """A GRU that goes down the levels; at each, what it predicted for the level above is fed back.

    h₀ = tanh(W f); at level k, h_k = GRU([f, E_k σ(ℓ_{k−1})], h_{k−1}) and ℓ_k = W_k h_k. What is fed back are the
    probabilities that were predicted, in training too, never the true ones, which would not be there later.

    Args:
        features: F.
        levels: columns of the nodes of each level, top first; every column in one of them.
        hidden: width of the recurrent state, and of what is fed back.
        node_dropout: share of the fed-back probabilities left out in training, against relying on a wrong parent.

    >>> LevelsRnn(5, [(0,), (1, 2)], hidden=4, node_dropout=0.0)(torch.zeros(7, 5)).shape
    torch.Size([7, 3])
    """

    back: Tensor

    def __init__(self, features: int, levels: Sequence[Sequence[int]], hidden: int, node_dropout: float) -> None:
        super().__init__()
        self.levels = tuple(map(tuple, levels))
        self.start = nn.Linear(features, hidden)
        self.cell = nn.GRUCell(features + hidden, hidden)
        # `told` is the name in old members' weights
        self.told = nn.ModuleList(nn.Linear(len(level), hidden, bias=False) for level in self.levels[:-1])
        self.answer = nn.ModuleList(nn.Linear(hidden, len(level)) for level in self.levels)
        self.dropout = nn.Dropout(node_dropout)
        order = [column for level in self.levels for column in level]
        self.register_buffer("back", torch.from_numpy(np.argsort(order)), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Turn (B, F) into (B, n) logits."""
        state = torch.tanh(self.start(features))
        width = features.shape[1]
        from_features = functional.linear(features, self.cell.weight_ih[:, :width], self.cell.bias_ih)
        from_above = torch.zeros_like(from_features)  # nothing is above the first level
        logits: list[Tensor] = []
        for depth, answer in enumerate(self.answer):
            state = self._step(from_features + from_above, state)
            logits.append(answer(state))
            if depth < len(self.told):
                fed_back = self.told[depth](self.dropout(torch.sigmoid(logits[-1])))
                from_above = functional.linear(fed_back, self.cell.weight_ih[:, width:])
        return torch.cat(logits, dim=1)[:, self.back]

    def _step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """Do what the cell does, with its weights, but given the sum of its inputs: the features' share is the same."""
        reset, update, new = inputs.chunk(3, dim=1)
        kept_reset, kept_update, kept_new = functional.linear(state, self.cell.weight_hh, self.cell.bias_hh).chunk(3, 1)
        update = torch.sigmoid(update + kept_update)
        proposed = torch.tanh(new + torch.sigmoid(reset + kept_reset) * kept_new)
        return proposed + update * (state - proposed)


class Levels(Head, nn.Sequential):
    """The head of `LevelsRnn`, after dropout; the two are "0" and "1" in members' weights.

    The depths of `ancestry` are the time steps; `features`, `prevalence` and `dropout` are those of `Flat`.
    """

    def __init__(
        self, features: int, ancestry: Ancestry, prevalence: np.ndarray, dropout: float, settings: LevelsSettings
    ) -> None:
        rnn = LevelsRnn(features, ancestry.levels, settings.hidden, settings.node_dropout)
        for level, answer in zip(rnn.levels, rnn.answer, strict=True):
            start_at(answer, prevalence[list(level)])
        nn.Sequential.__init__(self, nn.Dropout(dropout), rnn)

    def logits(self, features: Tensor) -> Tensor:
        """Turn (B, F) features into (B, n) logits."""
        for module in self:
            features = module(features)
        return features
