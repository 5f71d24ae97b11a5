"""Losses that weigh or shift by how many images each node has, against long tails."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from hpa_hier.models.losses.elementwise import MAX_WEIGHT, bce, class_weighted
from hpa_hier.models.losses.loss import Loss, LossData, LossRule, known_mean


def class_balanced_weight(positives: Tensor, beta: float = 0.9999) -> Tensor:
    """Weigh nodes by one over their effective number of images, (1 − beta^n) / (1 − beta).

    Images of one class overlap in what they show: the effective number grows ever slower with n. The largest weight is
    at most MAX_WEIGHT times the smallest, and the mean is 1, so that learning rates stay as with bce.

    Args:
        positives: (n,) training images with each node.
        beta: in [0, 1); 0 weighs all alike, towards 1 the weight becomes 1 / n.

    Returns:
        (n,), for both positives and negatives of a node.

    Source: Cui et al., Class-balanced loss based on effective number of samples, CVPR 2019. There a sample weighs by
    its one class; here, where it has several, each node's column weighs by its own. The bound is ours.

    >>> class_balanced_weight(torch.tensor([1000.0, 1000.0, 10.0]))
    tensor([0.1364, 0.1364, 2.7273])
    """
    counts = positives.double().clamp(min=1)
    weight = (1 - beta) / (1 - beta**counts)
    weight = (weight / weight.min()).clamp(max=MAX_WEIGHT)
    return (weight / weight.mean()).float()


def distribution_balanced(
    positives: Tensor,
    prevalence: Tensor,
    *,
    alpha: float = 0.1,
    beta: float = 10.0,
    mu: float = 0.2,
    scale: float = 2.0,
    kappa: float = 0.05,
) -> Loss:
    """Make the loss that knows that repeating a rare label repeats the common ones beside it.

    An image with labels y is met, if every class is drawn equally often, sum over y of 1 / n_k times; for the sake of
    class c alone it would be met 1 / n_c times. So the entry of class c weighs r_c = (1 / n_c) / (sum over y of 1 /
    n_k), pressed into (alpha, 1 + alpha) by alpha + sigmoid(beta · (r − mu)). Negatives are made tolerant: the logit is
    shifted by kappa × the class's log-odds, and a negative costs softplus(scale × logit) / scale.

    Args:
        positives: (n,) training images with each node.
        prevalence: (n,) share of an epoch's images with each node.
        alpha: least weight.
        beta: steepness of the pressing.
        mu: the weight in its middle.
        scale: above 1, how soon a negative counts as settled.
        kappa: share of the log-odds that the logits are shifted by.

    Unknown positives count for nothing in r. An image without any label weighs as one whose labels are all common.

    Source: Wu et al., Distribution-balanced loss for multi-label classification in long-tailed datasets, ECCV 2020;
    derived from the paper's equations 3 to 9, without its focal factor.

    >>> loss = distribution_balanced(torch.tensor([10.0]), torch.tensor([0.5]), kappa=0)
    >>> loss(torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1))
    tensor(0.7622)
    """
    rarity = 1 / positives.float().clamp(min=1)
    shift = kappa * log_odds(prevalence)

    def loss(logits: Tensor, present: Tensor, known: Tensor) -> Tensor:
        rare = rarity.to(logits)
        met = ((present * known) @ rare)[:, None]
        weight = alpha + torch.sigmoid(beta * (rare / met.clamp(min=1e-12) - mu))
        shifted = logits + shift.to(logits)
        of_positive = functional.softplus(-shifted)
        of_negative = functional.softplus(scale * shifted) / scale
        return known_mean(weight * (present * of_positive + (1 - present) * of_negative), known)

    return loss


def logit_adjusted(prevalence: Tensor, tau: float = 1.0) -> Loss:
    """Make a cross entropy of the logits with tau × each node's log-odds added in training only.

    What is left in the logits is what the image shows beyond the node's prevalence: rare nodes' scores come out higher.
    The source adds the log of the prior under a softmax; adding log-odds under a sigmoid is our reading of it for
    several labels at once.

    `prevalence` (n,) is the share of an epoch's images with each node; with `tau` 0 it is bce.

    Source: Menon et al., Long-tail learning via logit adjustment, ICLR 2021.

    >>> logit_adjusted(torch.tensor([0.5]))(torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1))
    tensor(0.6931)
    """
    shift = tau * log_odds(prevalence)

    def loss(logits: Tensor, present: Tensor, known: Tensor) -> Tensor:
        return bce(logits + shift.to(logits), present, known)

    return loss


def log_odds(prevalence: Tensor) -> Tensor:
    """Return log(p / (1 − p)) of shares (n,), which are kept away from 0 and 1 by 1e-4.

    >>> log_odds(torch.tensor([0.5, 0.0]))
    tensor([ 0.0000, -9.2102])
    """
    return torch.logit(prevalence, eps=1e-4)


def _guess_before_shift(data: LossData) -> Tensor:
    # A head that started at the prevalence would count it twice, and spend its first hundreds of steps on the way back.
    return torch.sigmoid((1 - data.numbers.get("tau", 1.0)) * log_odds(data.prevalence))


LOSSES = {
    "class_balanced": LossRule(lambda data: class_weighted(class_balanced_weight(data.positives, **data.numbers))),
    "distribution_balanced": LossRule(
        lambda data: distribution_balanced(data.positives, data.prevalence, **data.numbers)
    ),
    "logit_adjusted": LossRule(lambda data: logit_adjusted(data.prevalence, **data.numbers), _guess_before_shift),
}
