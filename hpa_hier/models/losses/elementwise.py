"""Losses over logits and closed targets: unknown entries count nothing, known ones all alike."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from hpa_hier.models.losses.loss import Loss, LossData, LossRule, known_mean

_entropies = partial(functional.binary_cross_entropy_with_logits, reduction="none")
MAX_WEIGHT = 20.0  # the largest weight of a positive in weighted_bce; n runs from 11 to 12,885 in the real table


def bce(logits: Tensor, present: Tensor, known: Tensor) -> Tensor:
    """Mean binary cross entropy over the known entries.

    Args:
        logits: (B, n).
        present: (B, n) in [0, 1]; between them where images are mixed.
        known: (B, n) in {0, 1}; 0 where the annotation does not say.

    Returns:
        A scalar; 0 where nothing is known.

    >>> bce(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), torch.ones(1, 2))
    tensor(0.6931)
    """
    return known_mean(_entropies(logits, present), known)


def focal(logits: Tensor, present: Tensor, known: Tensor, gamma: float = 2.0) -> Tensor:
    """Mean focal loss over the known entries: cross entropy × (1 − probability of the truth)^gamma.

    Source: Lin et al., Focal loss for dense object detection, ICCV 2017, without its class weight.

    >>> focal(torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1))
    tensor(0.1733)
    """
    losses = _entropies(logits, present)
    missed = present * torch.sigmoid(-logits) + (1 - present) * torch.sigmoid(logits)
    return known_mean(losses * missed.clamp(min=1e-8) ** gamma, known)  # below 1, a power has no finite slope at 0


def weighted_bce(positive_weight: Tensor) -> Loss:
    """Make a cross entropy whose positives weigh `positive_weight` (n,), as `frequency_weight` gives it.

    >>> weighted_bce(torch.tensor([2.0]))(torch.zeros(2, 1), torch.tensor([[1.0], [0.0]]), torch.ones(2, 1))
    tensor(1.0397)
    """

    def loss(logits: Tensor, present: Tensor, known: Tensor) -> Tensor:
        return known_mean(_entropies(logits, present, pos_weight=positive_weight.to(logits)), known)

    return loss


def frequency_weight(prevalence: Tensor) -> Tensor:
    """Weigh positives by the root of negatives over positives, 1 to MAX_WEIGHT, from `prevalence` (n,) in [0, 1].

    >>> frequency_weight(torch.tensor([0.5, 0.1, 0.0]))
    tensor([ 1.,  3., 20.])
    """
    return ((1 - prevalence) / prevalence.clamp(min=1e-9)).sqrt().clamp(1.0, MAX_WEIGHT)


def class_weighted(weights: Tensor) -> Loss:
    """Make a cross entropy in which all entries of a node, positive and negative, weigh `weights` (n,).

    It is the mean of weight × entropy, not divided by the weights' sum: learning rates stay comparable with bce
    where the weights are about 1 on average.

    >>> class_weighted(torch.tensor([2.0]))(torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1))
    tensor(1.3863)
    """

    def loss(logits: Tensor, present: Tensor, known: Tensor) -> Tensor:
        return known_mean(_entropies(logits, present) * weights.to(logits), known)

    return loss


def asymmetric(gamma_positive: float = 1.0, gamma_negative: float = 2.0, clip: float = 0.0) -> Loss:
    """Make a loss that forgets easy negatives sooner than easy positives.

    A positive costs −(1 − p)^gamma_positive · log p, a negative −q^gamma_negative · log(1 − q) with q = max(p − clip,
    0). The mean is taken, where the authors' code takes the sum, and the gradient also goes through the two powers.

    Args:
        gamma_positive: focusing of positives, 0 or more.
        gamma_negative: focusing of negatives. The authors advise to go from (0, 0, 0), which is bce, over (2, 2, 0),
            which is focal, to the default (1, 2, 0), and only then towards their own (1, 4, 0.05).
        clip: probability below which a negative costs nothing, in [0, 1).

    Source: Ridnik et al., Asymmetric loss for multi-label classification, ICCV 2021; advice: Alibaba-MIIL/ASL #22.

    >>> asymmetric(0, 4, 0.05)(torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1))
    tensor(0.0245)
    """

    def loss(logits: Tensor, present: Tensor, known: Tensor) -> Tensor:
        probs = torch.sigmoid(logits)
        # Powers of exactly 0 have no finite slope where gamma is below 1.
        of_positive = -functional.logsigmoid(logits) * (1 - probs).clamp(min=1e-8) ** gamma_positive
        left = (probs - clip).clamp(min=1e-8)
        log_absent = torch.log1p(-left.clamp(max=1 - 1e-7)) if clip else functional.logsigmoid(-logits)
        of_negative = -log_absent * left**gamma_negative
        return known_mean(present * of_positive + (1 - present) * of_negative, known)

    return loss


def soft_f1(smooth: float = 1.0) -> Loss:
    """Make 1 − the macro F1 of a batch, in which probabilities count as parts of an image.

    `smooth` images are added to both sides of each node's fraction. A node without a positive in the batch has F1 0
    whatever is answered; with `smooth` it is smooth / (smooth + calls), so that wrong calls still cost. Nodes without a
    known entry in the batch are left out.

    >>> soft_f1(0)(torch.zeros(2, 1), torch.tensor([[1.0], [0.0]]), torch.ones(2, 1))
    tensor(0.5000)
    """

    def loss(logits: Tensor, present: Tensor, known: Tensor) -> Tensor:
        called = torch.sigmoid(logits) * known
        hits = (called * present).sum(dim=0)
        both = called.sum(dim=0) + (present * known).sum(dim=0)
        f1 = (2 * hits + smooth) / (both + smooth).clamp(min=1e-8)
        in_batch = (known.sum(dim=0) > 0).to(logits)
        return ((1 - f1) * in_batch).sum() / in_batch.sum().clamp(min=1)

    return loss


def _weighted(data: LossData) -> Loss:
    weights = frequency_weight(data.prevalence.float())
    return weighted_bce(torch.where(data.weights.isnan(), weights, data.weights))


LOSSES = {
    "bce": LossRule(lambda _: bce),
    "focal": LossRule(lambda data: partial(focal, gamma=data.numbers.get("gamma", 2.0))),
    "weighted_bce": LossRule(_weighted),
    "class_weighted": LossRule(lambda data: class_weighted(data.weights.nan_to_num(1.0))),
    "asymmetric": LossRule(lambda data: asymmetric(**data.numbers)),
    "soft_f1": LossRule(lambda data: soft_f1(**data.numbers)),
}
