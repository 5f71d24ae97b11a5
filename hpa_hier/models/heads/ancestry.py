"""Ancestry: which of a member's nodes are above which, as columns, for heads and losses that need to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Ancestry:
    """The parents of every column, several where the taxonomy is a graph.

    >>> Ancestry(((), (0,), (0,), (1, 2))).levels
    ((0,), (1, 2), (3,))
    """

    parents: tuple[tuple[int, ...], ...] = ()  # by column; () at the top

    @classmethod
    def from_names(cls, nodes: Sequence[str], parents: Mapping[str, Sequence[str]]) -> Ancestry:
        """Turn names into columns, every one after its parents; parents that are no column are left out."""
        column = {node: j for j, node in enumerate(nodes)}
        return cls(tuple(tuple(column[name] for name in parents.get(node, ()) if name in column) for node in nodes))

    def __len__(self) -> int:
        return len(self.parents)

    @cached_property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """The columns by depth, top first; depth is that of the longest way down, so no node comes before a parent."""
        depth: list[int] = []
        for above in self.parents:
            depth.append(1 + max((depth[j] for j in above), default=-1))
        return tuple(tuple(j for j, own in enumerate(depth) if own == level) for level in sorted(set(depth)))

    def padded_parents(self, columns: Sequence[int]) -> np.ndarray:
        """Return (len(columns), P) parents of columns that have some; the first is repeated where there are fewer."""
        rows = [self.parents[column] for column in columns]
        most = max(map(len, rows))
        return np.array([[*row, *row[:1] * (most - len(row))] for row in rows], np.int64)

    def conditional_targets(self, present: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Return what there is to learn of each node given that all of its parents are present.

        Args:
            present: (B, n) closed, in {0, 1}; of mixed images, between them.
            known: (B, n) in [0, 1].

        Returns:
            `present` as a share of the least of the parents, and `known` weighted by that: 0 where a parent is absent
            or itself unknown. (B, n) each.

        >>> Ancestry(((), (0,))).conditional_targets(torch.tensor([[0.5, 0.5], [0.0, 0.0]]), torch.ones(2, 2))[0]
        tensor([[0.5000, 1.0000],
                [0.0000, 0.0000]])
        """
        least = torch.ones_like(present)
        below = [column for column, above in enumerate(self.parents) if above]
        if below:
            above = torch.from_numpy(self.padded_parents(below)).to(present.device)
            least[:, below] = present[:, above].amin(dim=2)
        return (present / least.clamp(min=1e-6)).clamp(max=1.0), known * least


@torch.no_grad()
def argmax_rows(values: Tensor, rows: Tensor) -> Tensor:
    """Return, column by column of `values` (n, B), which row of each of the `rows` (m, P) has the largest value.

    Halves are compared until one row is left: on a processor many times faster than torch's argmax. The result is
    (m, B) int64; `values.gather(0, …)` gives the values themselves.

    >>> argmax_rows(torch.tensor([[1.0, 9.0], [5.0, 3.0]]), torch.tensor([[0, 1]]))
    tensor([[1, 0]])
    """
    best, which = values[rows], rows[:, :, None].expand(-1, -1, values.shape[1])
    while (left := best.shape[1]) > 1:
        half = (left + 1) // 2
        better = best[:, left - half :] > best[:, :half]
        best = torch.where(better, best[:, left - half :], best[:, :half])
        which = torch.where(better, which[:, left - half :], which[:, :half])
    return which[:, 0]
