"""Max constraint: a node is as likely as the likeliest node below it; the loss that trains for that, and the lift."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hpa_hier.models.ancestry import Ancestry


class Lift(nn.Module):
    """Raise every node's logit to the largest among itself and all nodes below.

    Bottom up, level by level, over the edges of the graph: (B, edges) numbers at most, never (B, n, n).

    >>> Lift(Ancestry(((), (0,), (0,))))(torch.tensor([[-1.0, 2.0, 0.5]]))
    tensor([[2.0000, 2.0000, 0.5000]])
    """

    order: Tensor
    back: Tensor

    def __init__(self, ancestry: Ancestry) -> None:
        super().__init__()
        levels = ancestry.levels[::-1]
        order = np.array([column for level in levels for column in level], np.int64)
        place = np.argsort(order)
        self.register_buffer("order", torch.from_numpy(order), persistent=False)
        self.register_buffer("back", torch.from_numpy(place), persistent=False)
        self._widths = list(map(len, levels))
        edges: list[list[tuple[int, int]]] = [[] for _ in levels]  # (place in the level, place of the child)
        level_of = {column: depth for depth, level in enumerate(levels) for column in level}
        first = np.cumsum([0, *self._widths])
        for child, above in enumerate(ancestry.parents):
            for parent in above:
                depth = level_of[parent]
                edges[depth].append((int(place[parent] - first[depth]), int(place[child])))
        for depth, pairs in enumerate(edges):
            table = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T.contiguous()
            self.register_buffer(f"edges{depth}", table, persistent=False)

    def forward(self, logits: Tensor) -> Tensor:
        """Turn (B, n) logits into (B, n), no node's below that of a node under it."""
        ordered = logits[:, self.order]
        blocks = torch.split(ordered, self._widths, dim=1)
        done = blocks[0]
        for depth, block in enumerate(blocks[1:], start=1):
            into, child = self.get_buffer(f"edges{depth}")
            if len(child):
                places = into.expand(len(logits), -1)
                block = block.scatter_reduce(1, places, done[:, child], "amax", include_self=True)
            done = torch.cat([done, block], dim=1)
        lifted: Tensor = done[:, self.back]
        return lifted


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
        on = present > 0
        nothing = torch.full_like(logits, torch.finfo(logits.dtype).min)
        constrained = torch.where(on, self.lift(torch.where(on, logits, nothing)), self.lift(logits))
        losses = functional.binary_cross_entropy_with_logits(constrained, present, reduction="none")
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
