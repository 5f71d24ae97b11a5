"""A member's network put together from its settings: backbone, what stands on frozen features, head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from hpa_hier.models.backbones.create import MLP, BackboneRequest, build_backbone, check_sizes
from hpa_hier.models.backbones.mlp import Mlp, dense_layers
from hpa_hier.models.heads.ancestry import Ancestry
from hpa_hier.models.heads.arcface import ArcfaceRequest, NeighbourVote
from hpa_hier.models.heads.flat import HeadRequest, build_head
from hpa_hier.models.network import Network, VectorNetwork
from hpa_hier.settings.training import TrainingSettings

Statistics = tuple[np.ndarray, np.ndarray]  # mean and standard deviation, by channel or feature


@dataclass(frozen=True)
class Nodes:
    """What a head answers for."""

    ancestry: Ancestry
    prevalence: np.ndarray  # (n,) share of an epoch's images with each node
    antibodies: int = 0  # that head arcface tells apart; 0: its weights are loaded later
    samples: int = 0  # that it remembers; likewise


def backbone_of(settings: TrainingSettings, channels: Sequence[str], size: int, start: bool) -> tuple[nn.Module, int]:
    """Build a backbone; return it with the number of its features.

    Args:
        settings: of the member.
        channels: of the images, or the features of the vectors.
        size: pixels, side of the images.
        start: whether it starts from the weights that the settings name; else they are loaded later.
    """
    request = BackboneRequest(
        name=settings.backbone,
        channels=tuple(channels),
        image_size=size,
        width=settings.width,
        hidden=settings.mlp.hidden,
        layers=settings.mlp.layers,
        dropout=settings.mlp.dropout,
        input_dropout=settings.mlp.input_dropout,
        pretrained=settings.pretrained and start,
        weights=Path(settings.weights) if settings.weights and start else None,
        fourth_channel=settings.fourth_channel,
        pooling=settings.pooling,
    )
    backbone, features = build_backbone(request)
    if start:
        check_sizes(backbone, request, settings.sizes)
    return backbone, features


def head_of(settings: TrainingSettings, features: int, nodes: Nodes) -> nn.Module:
    """Build a head on `features` columns."""
    if settings.head == "arcface":
        metric = settings.arcface
        return NeighbourVote(
            ArcfaceRequest(
                features=features,
                prevalence=nodes.prevalence,
                antibodies=nodes.antibodies,
                samples=nodes.samples,
                dropout=settings.dropout,
                embedding=metric.embedding,
                neighbours=metric.neighbours,
                temperature=metric.temperature,
            )
        )
    return build_head(
        HeadRequest(
            name=settings.head,
            features=features,
            prevalence=nodes.prevalence,
            ancestry=nodes.ancestry,
            dropout=settings.dropout,
            hidden=settings.levels.hidden,
            node_dropout=settings.levels.node_dropout,
            lifted=settings.loss == "max_constraint",
        )
    )


def whole(settings: TrainingSettings, backbone: tuple[nn.Module, int], nodes: Nodes, statistics: Statistics) -> Network:
    """Put a backbone, dense layers and a new head together, all to be trained."""
    network, features = backbone
    if settings.backbone == MLP:
        return VectorNetwork(network, head_of(settings, features, nodes), *statistics)
    width = settings.dense[-1] if settings.dense else features
    return Network(network, head_of(settings, width, nodes), *statistics, dense_layers(features, settings.dense))


def on_features(settings: TrainingSettings, features: int, nodes: Nodes, statistics: Statistics) -> VectorNetwork:
    """Build what stands on a frozen backbone's features: their standardisation, hidden layers, a head."""
    layers = settings.mlp
    mlp = Mlp(features, layers.hidden, layers.layers, layers.dropout, layers.input_dropout)
    return VectorNetwork(mlp, head_of(settings, mlp.num_features, nodes), *statistics)
