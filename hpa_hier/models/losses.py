"""Losses over logits and closed targets: unknown entries count nothing, known ones all alike."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

MAX_WEIGHT = 20.0  # the largest weight of a positive in weighted_bce; n runs from 11 to 12,885 in the real table


def bce(logits: Tensor, present: Tensor, known: Tensor) -> Tensor:
    """Mean binary cross entropy over the known entries.

    Args:
        logits: (B, n).
        present: (B, n) in {0, 1}.
        known: (B, n) in {0, 1}; 0 where the annotation does not say.

    Returns:
        A scalar; 0 where nothing is known.

    >>> bce(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), torch.ones(1, 2))
    tensor(0.6931)
    """
    losses = functional.binary_cross_entropy_with_logits(logits, present, reduction="none")
    return _known_mean(losses, known)


def focal(logits: Tensor, present: Tensor, known: Tensor, gamma: float = 2.0) -> Tensor:
    """Mean focal loss over the known entries: cross entropy × (1 − probability of the truth)^gamma.

    Source: Lin et al., Focal loss for dense object detection, ICCV 2017, without its class weight.

    >>> focal(torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1))
    tensor(0.1733)
    """
    losses = functional.binary_cross_entropy_with_logits(logits, present, reduction="none")
    missed = torch.sigmoid(torch.where(present > 0, -logits, logits))
    return _known_mean(losses * missed**gamma, known)


def weighted_bce(positive_weight: Tensor) -> Loss:
    """Make a cross entropy whose positives weigh `positive_weight` (n,), as `frequency_weight` gives it."""

    def loss(logits: Tensor, present: Tensor, known: Tensor) -> Tensor:
        losses = functional.binary_cross_entropy_with_logits(
            logits, present, pos_weight=positive_weight.to(logits), reduction="none"
        )
        return _known_mean(losses, known)

    return loss


def frequency_weight(prevalence: Tensor) -> Tensor:
    """Weigh positives by the root of negatives over positives, between 1 and MAX_WEIGHT.

    Args:
        prevalence: (n,) share of training images with each node.

    >>> frequency_weight(torch.tensor([0.5, 0.1, 0.0]))
    tensor([ 1.,  3., 20.])
    """
    return ((1 - prevalence) / prevalence.clamp(min=1e-9)).sqrt().clamp(1.0, MAX_WEIGHT)


def loss_named(name: str, prevalence: Tensor) -> Loss:
    """Return the loss that a recipe names: bce, focal or weighted_bce."""
    if name == "weighted_bce":
        return weighted_bce(frequency_weight(prevalence))
    return {"bce": bce, "focal": focal}[name]


def _known_mean(losses: Tensor, known: Tensor) -> Tensor:
    return (losses * known).sum() / known.sum().clamp(min=1)
