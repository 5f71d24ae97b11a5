"""Max constraint: the loss of a network whose answers are lifted."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hpa_hier.models.heads.ancestry import Ancestry
from hpa_hier.models.heads.lift import Lift
from hpa_hier.models.losses.loss import LossRule, known_mean


class MaxConstraint(nn.Module):
    """Cross entropy of the constrained output: MCLoss.

    With p̂_v the largest probability among v and all nodes below, the loss is the cross entropy of
    o_v = (1 − y_v)·p̂_v + y_v·max over u at or below v of y_u·p_u, mean over the known entries. The maximum is taken of
    logits, where it is the same one and nothing is rounded away.

    Source: Giunchiglia & Lukasiewicz, Coherent hierarchical multi-label classification networks, NeurIPS 2020, written
    from the equations.

    >>> loss = MaxConstraint(Ancestry(((), (0,))))
    >>> loss(torch.tensor([[-9.0, 0.0]]), torch.ones(1, 2), torch.ones(1, 2))  # the node below speaks for the group
    tensor(0.6931)
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
        return known_mean(present * true + (1 - present) * false, known)


LOSSES = {"max_constraint": LossRule(lambda data: MaxConstraint(data.ancestry), lifts=True)}
