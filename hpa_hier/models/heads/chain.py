"""Chain: a conditional logit for each node, multiplied down the tree into the node's own."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from hpa_hier.models.heads.ancestry import Ancestry, argmax_rows
from hpa_hier.models.heads.head import Head, start_at


class Chain(Head):
    """The logit of a node given all of its parents, and of the node itself: log p = log q + min over parents of log p.

    No node is more likely than any of its parents, by construction. Training goes in two stages, first on
    `conditional` where the parents are present, then on `logits`.

    `ancestry` is that of the n nodes; the other arguments are those of `Flat`.

    Source: Chen et al., Deep hierarchical multi-label classification of chest X-ray images, MIDL 2019; several parents
    by the minimum.
    """

    order: Tensor
    back: Tensor

    def __init__(self, features: int, ancestry: Ancestry, prevalence: np.ndarray, dropout: float) -> None:
        super().__init__()
        self.ancestry = ancestry
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(features, len(ancestry))
        rarest = np.array([min((prevalence[j] for j in above), default=1.0) for above in ancestry.parents])
        start_at(self.linear, prevalence / np.maximum(rarest, 1e-9))
        order = np.array([column for level in ancestry.levels for column in level], np.int64)
        place = np.argsort(order)
        self.register_buffer("order", torch.from_numpy(order), persistent=False)
        self.register_buffer("back", torch.from_numpy(place), persistent=False)
        for depth, level in enumerate(ancestry.levels[1:], start=1):
            above = torch.from_numpy(place[ancestry.padded_parents(level)])
            self.register_buffer(f"above{depth}", above, persistent=False)

    def conditional(self, features: Tensor) -> Tensor:
        """Turn (B, F) features into (B, n) logits of each node given that all of its parents are present."""
        logits: Tensor = self.linear(self.dropout(features))
        return logits.float()  # half precision could not tell apart probabilities near 1 on the way down

    def logits(self, features: Tensor) -> Tensor:
        """Turn (B, F) features into (B, n) logits, no node's above a parent's."""
        conditional = self.conditional(features).T.index_select(0, self.order)  # a node's samples side by side
        done = conditional[: len(self.ancestry.levels[0])]
        for depth in range(1, len(self.ancestry.levels)):
            above = self.get_buffer(f"above{depth}")  # (nodes of the level, P)
            here = conditional[len(done) : len(done) + len(above)]
            least = (
                done.index_select(0, above[:, 0]) if above.shape[1] == 1 else done.gather(0, argmax_rows(-done, above))
            )
            done = torch.cat([done, joint_logit(here, least)])
        return done.index_select(0, self.back).T

    def training_logits(self, features: Tensor, *, first_stage: bool = False) -> Tensor:
        """Return `conditional` logits in the first stage, `logits` in the second."""
        return self.conditional(features) if first_stage else self.logits(features)

    def training_targets(self, present: Tensor, known: Tensor, *, first_stage: bool = False) -> tuple[Tensor, Tensor]:
        """Return targets given the parents in the first stage, as they are in the second."""
        return self.ancestry.conditional_targets(present, known) if first_stage else (present, known)


def joint_logit(one: Tensor, other: Tensor) -> Tensor:
    """Return the logit of σ(one)·σ(other).

    σ(a)σ(u) / (1 − σ(a)σ(u)) is 1 / (e⁻ᵃ + e⁻ᵘ + e⁻ᵃ⁻ᵘ). So log p and log(1 − p) are never taken apart, nothing needs
    to be cut off near p = 1, gradients stay finite, and the result exceeds neither of the two, to the last bit.

    >>> joint_logit(torch.tensor([0.0, 50.0]), torch.tensor([0.0, -50.0]))
    tensor([ -1.0986, -50.0000])
    """
    return -torch.logaddexp(torch.logaddexp(-one, -other), -one - other)
