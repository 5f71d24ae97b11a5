"""Which loss: the one that a recipe names, with its numbers and the training part's counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hpa_hier.models.heads.ancestry import Ancestry
from hpa_hier.models.losses.balanced import class_balanced_weight, distribution_balanced, log_odds, logit_adjusted
from hpa_hier.models.losses.elementwise import (
    MAX_WEIGHT,
    Loss,
    asymmetric,
    bce,
    class_weighted,
    focal,
    frequency_weight,
    soft_f1,
    weighted_bce,
)
from hpa_hier.models.losses.max_constraint import MaxConstraint


@dataclass(frozen=True)
class LossRequest:
    """What is asked of a loss."""

    name: str
    prevalence: Tensor  # (n,) float64 share of an epoch's images with each node
    positives: Tensor  # (n,) training images with each node
    weights: Tensor | None = None  # (n,) by hand, for weighted_bce and class_weighted; NaN where none is given
    options: Mapping[str, float] = field(default_factory=dict)  # the loss's own numbers, where not the defaults
    ancestry: Ancestry | None = None  # which nodes stand above which, for max_constraint


def make_loss(request: LossRequest) -> Loss:
    """Make the loss that a recipe names."""
    return _LOSSES[request.name](request)


def first_guess(request: LossRequest) -> Tensor:
    """Return the share that an untrained head should guess for each node, (n,).

    It is the prevalence, but where the loss itself adds the prevalence's log-odds to the logits: then a head that
    started there would count it twice and spend its first hundreds of steps on the way back.
    """
    if request.name != "logit_adjusted":
        return request.prevalence
    return torch.sigmoid((1 - request.options.get("tau", 1.0)) * log_odds(request.prevalence))


def _focal(request: LossRequest) -> Loss:
    gamma = request.options.get("gamma", 2.0)
    return lambda logits, present, known: focal(logits, present, known, gamma)


def _weighted(request: LossRequest) -> Loss:
    weights = frequency_weight(request.prevalence.float())
    by_hand = request.weights
    return weighted_bce(weights if by_hand is None else torch.where(by_hand.isnan(), weights, by_hand))


def _class_weighted(request: LossRequest) -> Loss:
    assert request.weights is not None  # the settings are checked for it
    return class_weighted(request.weights.nan_to_num(1.0))


def _max_constraint(request: LossRequest) -> Loss:
    assert request.ancestry is not None  # every member knows its nodes' places
    return MaxConstraint(request.ancestry)


_LOSSES: dict[str, Callable[[LossRequest], Loss]] = {
    "bce": lambda _: bce,
    "focal": _focal,
    "weighted_bce": _weighted,
    "class_weighted": _class_weighted,
    "asymmetric": lambda request: asymmetric(**request.options),
    "class_balanced": lambda request: class_weighted(
        class_balanced_weight(request.positives, MAX_WEIGHT, **request.options)
    ),
    "distribution_balanced": lambda request: distribution_balanced(
        request.positives, request.prevalence, **request.options
    ),
    "logit_adjusted": lambda request: logit_adjusted(request.prevalence, **request.options),
    "max_constraint": _max_constraint,
    "soft_f1": lambda request: soft_f1(**request.options),
}
