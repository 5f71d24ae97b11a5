"""Dense layers: a backbone of them for samples that are feature vectors, or some between a backbone and its head."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from hpa_hier.settings.training import MlpSettings


def dense_layers(features: int, widths: Sequence[int]) -> nn.Sequential:
    """Build rectified dense layers of these widths on `features` numbers.

    >>> import torch
    >>> dense_layers(5, (4, 2))(torch.zeros(3, 5)).shape
    torch.Size([3, 2])
    """
    layers = nn.Sequential()
    for before, after in pairwise((features, *widths)):
        layers.extend((nn.Linear(before, after), nn.ReLU(inplace=True)))
    return layers


class Mlp(nn.Module):
    """Hidden layers with rectified outputs; without any, the F features are passed on as they are.

    >>> import torch
    >>> Mlp(5, MlpSettings(layers=0))(torch.ones(1, 5))
    tensor([[1., 1., 1., 1., 1.]])
    """

    def __init__(self, features: int, settings: MlpSettings) -> None:
        super().__init__()
        widths = [features, *[settings.hidden] * settings.layers]
        self.inputs = nn.Dropout(settings.input_dropout)
        self.layers = nn.Sequential()
        for before, after in pairwise(widths):
            self.layers.extend((nn.Linear(before, after), nn.ReLU(), nn.Dropout(settings.dropout)))
        self.num_features = widths[-1]

    def forward(self, vectors: Tensor) -> Tensor:
        """Turn (B, F) standardised vectors into (B, num_features)."""
        features: Tensor = self.layers(self.inputs(vectors))
        return features
