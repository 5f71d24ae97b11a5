"""What a loss is, what it may look at when it is made, and what the table of losses holds of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from hpa_hier.models.heads.ancestry import Ancestry

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # (logits, present, known), (B, n) each → scalar


@dataclass(frozen=True)
class LossData:
    """What losses may depend on beside a batch."""

    prevalence: Tensor  # (n,) float64 share of an epoch's images with each node
    positives: Tensor  # (n,) training images with each node
    ancestry: Ancestry = field(default_factory=Ancestry)  # which nodes are above which
    weights: Tensor = field(default_factory=lambda: torch.tensor(torch.nan))  # (n,) by hand; NaN where none is given
    numbers: Mapping[str, float] = field(default_factory=dict)  # the loss's own, where not the defaults

    def to(self, device: torch.device) -> LossData:
        """Return the same with its tensors on a CUDA device, where each step would wait for copies of them."""
        if device.type != "cuda":
            return self
        moved = {name: getattr(self, name).to(device) for name in ("prevalence", "positives", "weights")}
        return replace(self, **moved)


@dataclass(frozen=True)
class LossRule:
    """A loss by its name: how it is made, and what else follows from it."""

    make: Callable[[LossData], Loss]
    first_guess: Callable[[LossData], Tensor] = lambda data: data.prevalence  # (n,) what an untrained head should say
    lifts: bool = False  # whether answers are lifted: each node's to the largest at or below it


def with_auxiliary(own: Loss, others: Loss, weight: float, columns: int) -> Loss:
    """Return own + weight × others: of the first columns, and of those behind, each a mean over its own entries.

    Args:
        own: loss of the nodes that a member answers for.
        others: loss of those that it only learns.
        weight: of `others`, 0 or more.
        columns: how many are the member's own.

    >>> sum_logits = lambda logits, present, known: logits.sum()
    >>> with_auxiliary(sum_logits, sum_logits, 0.5, 1)(*torch.tensor([[[1.0, 2.0, 4.0]]] * 3))
    tensor(4.)
    """

    def loss(logits: Tensor, present: Tensor, known: Tensor) -> Tensor:
        first, behind = (
            [one[:, part] for one in (logits, present, known)] for part in (slice(columns), slice(columns, None))
        )
        return own(*first) + weight * others(*behind)

    return loss


def known_mean(losses: Tensor, known: Tensor) -> Tensor:
    """Return the mean of (B, n) losses over the entries that are known; 0 where none is.

    >>> known_mean(torch.tensor([[1.0, 5.0]]), torch.tensor([[1.0, 0.0]]))
    tensor(1.)
    """
    return (losses * known).sum() / known.sum().clamp(min=1)
