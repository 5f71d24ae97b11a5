"""Dense layers: a backbone of them for samples that are feature vectors, or some between a backbone and its head."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


def dense_layers(features: int, widths: Sequence[int]) -> nn.Sequential:
    """Build rectified dense layers of these widths on `features` numbers."""
    layers = nn.Sequential()
    for before, after in pairwise((features, *widths)):
        layers.extend((nn.Linear(before, after), nn.ReLU(inplace=True)))
    return layers


class Mlp(nn.Module):
    """Hidden layers with rectified outputs.

    Args:
        features: F, numbers of a sample.
        hidden: width of each layer.
        layers: how many; 0 hands the features on as they are.
        dropout: share of each layer's outputs left out in training.
        input_dropout: share of the inputs left out in training.
    """

    def __init__(self, features: int, hidden: int, layers: int, dropout: float, input_dropout: float = 0.0) -> None:
        super().__init__()
        widths = [features, *[hidden] * layers]
        self.inputs = nn.Dropout(input_dropout)
        self.layers = nn.Sequential()
        for before, after in pairwise(widths):
            self.layers.extend((nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)))
        self.num_features = widths[-1]

    def forward(self, vectors: Tensor) -> Tensor:
        """Turn (B, F) standardised vectors into (B, num_features)."""
        features: Tensor = self.layers(self.inputs(vectors))
        return features
