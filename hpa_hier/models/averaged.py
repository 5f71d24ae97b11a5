"""Several networks that answer as one: the mean of their logits."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from hpa_hier.models.network import Network


class Averaged(Network):
    """The mean of the logits of networks that answer for the same nodes, summed in their order.

    Args:
        networks: at least one.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        nn.Module.__init__(self)  # each network has a normalisation of its own
        self.networks = nn.ModuleList(networks)

    def forward(self, images: Tensor, gain: Tensor | None = None) -> Tensor:
        """Return (B, n) logits of images as each of the networks takes them."""
        first, *rest = self.networks
        total: Tensor = first(images, gain)
        for network in rest:
            total = total + network(images, gain)
        return total / len(self.networks)
