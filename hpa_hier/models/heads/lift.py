"""Lift: a node is as likely as the likeliest node below it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hpa_hier.models.heads.ancestry import Ancestry, argmax_rows
from hpa_hier.models.heads.head import Head


class Lift(nn.Module):
    """Raise every node's logit to the largest among itself and all nodes below.

    Bottom up over the edges of the graph, never (B, n, n): memory goes with B × (nodes + edges of a level).

    >>> Lift(Ancestry(((), (0,), (0,))))(torch.tensor([[-1.0, 2.0, 0.5]]))
    tensor([[2.0000, 2.0000, 0.5000]])
    """

    def __init__(self, ancestry: Ancestry) -> None:
        super().__init__()
        children: dict[int, list[int]] = {}
        for child, above in enumerate(ancestry.parents):
            for parent in above:
                children.setdefault(parent, []).append(child)
        self._steps = 0
        for level in ancestry.levels[::-1]:
            # Groups with about as many children go together, so that filling up to the most of them wastes little.
            alike: dict[int, list[int]] = {}
            for group in (group for group in level if group in children):
                alike.setdefault(len(children[group]).bit_length(), []).append(group)
            for groups in alike.values():
                most = 1 + max(len(children[group]) for group in groups)
                rows = [[*children[group], *[group] * (most - len(children[group]))] for group in groups]
                self.register_buffer(f"groups{self._steps}", torch.tensor(groups), persistent=False)
                self.register_buffer(f"candidates{self._steps}", torch.tensor(rows), persistent=False)
                self._steps += 1

    def forward(self, logits: Tensor) -> Tensor:
        """Turn (B, n) logits into (B, n), no node's below that of a node under it."""
        return logits.gather(1, self.likeliest(logits))

    @torch.no_grad()
    def likeliest(self, logits: Tensor) -> Tensor:
        """Return (B, n) int64: for each node the column with the largest logit, of itself and the nodes below."""
        values = logits.T.contiguous()  # a node's samples side by side: four times as fast
        winner = torch.arange(len(values), device=logits.device)[:, None].repeat(
            1, logits.shape[0]
        )  # not len: a converter keeps it open
        for step in range(self._steps):
            groups, candidates = self.get_buffer(f"groups{step}"), self.get_buffer(f"candidates{step}")
            best = argmax_rows(values, candidates)
            winner[groups] = winner.gather(0, best)
            values[groups] = values.gather(0, best)
        return winner.T


class Lifted(Head):
    """A head whose answers are lifted; its loss, MCLoss, is that of the logits before."""

    def __init__(self, head: Head, ancestry: Ancestry) -> None:
        super().__init__()
        self.head = head
        self.lift = Lift(ancestry)

    def logits(self, features: Tensor) -> Tensor:
        """Turn (B, F) features into (B, n) logits before the lift."""
        return self.head.logits(features)

    def answers(self, logits: Tensor) -> Tensor:
        """Lift (B, n) logits."""
        lifted: Tensor = self.lift(logits)
        return lifted
