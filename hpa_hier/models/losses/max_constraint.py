"""Max constraint: a node is as likely as the likeliest node below it; the loss that trains for that, and the lift."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hpa_hier.models.heads.ancestry import Ancestry, argmax_rows


class Lift(nn.Module):
    """Raise every node's logit to the largest among itself and all nodes below.

    Bottom up over the edges of the graph, never (B, n, n): memory goes with B × (nodes + edges of a level).

    >>> Lift(Ancestry(((), (0,), (0,))))(torch.tensor([[-1.0, 2.0, 0.5]]))
    tensor([[2.0000, 2.0000, 0.5000]])
    """

    def __init__(self, ancestry: Ancestry) -> None:
        super().__init__()
        children: list[list[int]] = [[] for _ in range(len(ancestry))]
        for child, above in enumerate(ancestry.parents):
            for parent in above:
                children[parent].append(child)
        self._steps = 0
        for level in ancestry.levels[::-1]:
            # Groups with about as many children go together, so that filling up to the most of them wastes little.
            alike: dict[int, list[int]] = {}
            for group in level:
                if children[group]:
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
        winner = torch.arange(len(values), device=logits.device)[:, None].repeat(1, len(logits))
        for step in range(self._steps):
            groups, candidates = self.get_buffer(f"groups{step}"), self.get_buffer(f"candidates{step}")
            best = argmax_rows(values, candidates)
            winner[groups] = winner.gather(0, best)
            values[groups] = values.gather(0, best)
        return winner.T


class MaxConstraint(nn.Module):
    """Cross entropy of the constrained output: MCLoss.

    With p̂_v the largest probability among v and all nodes below, the loss is the cross entropy of
    o_v = (1 − y_v)·p̂_v + y_v·max over u at or below v of y_u·p_u, mean over the known entries. The maximum is taken of
    logits, where it is the same one and nothing is rounded away.

    Source: Giunchiglia & Lukasiewicz, Coherent hierarchical multi-label classification networks, NeurIPS 2020, written
    from the equations.
    """

    def __init__(self, ancestry: Ancestry) -> None:
        super().__init__()
        self.lift = Lift(ancestry)

    def forward(self, logits: Tensor, present: Tensor, known: Tensor) -> Tensor:
        """Return the loss of (B, n) logits before any lift; `present` is closed, `known` masks as in every loss."""
        hidden = logits.detach().masked_fill(present <= 0, torch.finfo(logits.dtype).min)
        any_below, true_below = self.lift.likeliest(torch.cat([logits.detach(), hidden])).chunk(2)
        # The cross entropy of o, its two halves apart, so that mixed images' targets between 0 and 1 count in both.
        true = functional.softplus(-logits.gather(1, true_below))
        false = functional.softplus(logits.gather(1, any_below))
        losses = present * true + (1 - present) * false
        return (losses * known).sum() / known.sum().clamp(min=1)


class Lifted(nn.Module):
    """A head whose answers are lifted, but not in training, where the loss does that itself."""

    def __init__(self, head: nn.Module, ancestry: Ancestry) -> None:
        super().__init__()
        self.head = head
        self.lift = Lift(ancestry)

    def forward(self, features: Tensor) -> Tensor:
        """Turn (B, F) features into (B, n) logits."""
        logits: Tensor = self.head(features)
        return logits if self.training else self.lift(logits)
