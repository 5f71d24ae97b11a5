"""Backbones: normalised images to features, at any number of channels."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hpa_hier.errors import UserError
from hpa_hier.models.backbones.mlp import Mlp
from hpa_hier.models.backbones.pooled import Pooled
from hpa_hier.models.backbones.pretrained import fill_from_file, fill_from_hub
from hpa_hier.models.backbones.report_networks import REPORT_NETWORKS, ReportCnn
from hpa_hier.models.backbones.small_cnn import SmallCnn

SMALL_CNN = "small_cnn"
MLP = "mlp"  # the one backbone for vectors


@dataclass(frozen=True)
class BackboneRequest:
    """What is asked of a backbone."""

    name: str  # small_cnn, a report's network, mlp, or any timm model name
    channels: tuple[str, ...]  # of the images, or the features of the vectors, by name and in order
    image_size: int  # pixels, side of the square input; some models are built for one size
    width: int = 32  # small_cnn: channels of the first stage
    hidden: int = 256  # mlp: width of each layer
    layers: int = 2  # mlp
    dropout: float = 0.0  # mlp
    input_dropout: float = 0.0  # mlp
    pretrained: bool = False
    weights: Path | None = None  # a local safetensors file instead of the hub
    fourth_channel: str = "mean"  # mean, green or zero: the stem's filters for channels that are not red, green, blue
    pooling: str = "own"  # own, or a pooling's name


def build_backbone(request: BackboneRequest) -> tuple[nn.Module, int]:
    """Build a backbone; return it with the number of its features.

    Raises:
        UserError: unknown name, pretrained weights that cannot be had or do not fit.
    """
    channels = len(request.channels)
    if request.name == MLP:
        return _mlp(request)
    if request.name == SMALL_CNN or request.name in REPORT_NETWORKS:
        own = _own_model(request, channels)
        if request.weights is not None:
            fill_from_file(own, request.weights, request.channels, request.fourth_channel)
        elif request.pretrained:
            raise UserError(
                f"training.pretrained: {request.name} has no pretrained weights on the hub; name --weights FILE"
            )
        return own, own.num_features
    model = _timm_model(request.name, channels, request.image_size)
    features = int(getattr(model, "head_hidden_size", None) or model.num_features)
    built: nn.Module = model
    if request.pooling != "own":
        built = pooled = Pooled(model, (request.name, request.pooling), channels, request.image_size)
        features = pooled.num_features
    if request.weights is not None:
        fill_from_file(model, request.weights, request.channels, request.fourth_channel)
    elif request.pretrained:
        fill_from_hub(model, request.name, request.channels, request.fourth_channel)
    return built, features


def check_sizes(backbone: nn.Module, request: BackboneRequest, sizes: Sequence[int]) -> None:
    """Refuse sizes that a backbone cannot take, before the first step.

    Raises:
        UserError: it is built for one size, or a size is too small for it.
    """
    backbone.eval()
    for size in sizes:
        try:
            with torch.no_grad():
                backbone(torch.zeros(1, len(request.channels), size, size))
        except (AssertionError, RuntimeError):
            raise UserError(
                f"training.sizes: {request.name} does not take images of {size}×{size} pixels here; leave sizes out, "
                "or take small_cnn or another convolutional backbone"
            ) from None
    backbone.train()


def _mlp(request: BackboneRequest) -> tuple[nn.Module, int]:
    if request.pretrained or request.weights is not None:
        raise UserError("training.pretrained and training.weights: the backbone mlp starts from nothing; unset them")
    mlp = Mlp(len(request.channels), request.hidden, request.layers, request.dropout, request.input_dropout)
    return mlp, mlp.num_features


def _own_model(request: BackboneRequest, channels: int) -> SmallCnn | ReportCnn:
    if request.name == SMALL_CNN:
        return SmallCnn(channels, request.width, request.pooling)
    return REPORT_NETWORKS[request.name](channels, request.image_size, request.pooling)


def _timm_model(name: str, channels: int, image_size: int) -> Any:  # noqa: ANN401 - timm's models have no common type
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm's notes on renamed models are for its own maintainers
        import timm

        if not timm.is_model(name):
            raise UserError(
                f"training.backbone: no model {name!r}; {_nearest(name, [*REPORT_NETWORKS, *timm.list_models()])}"
            )
        settings: dict[str, Any] = {"in_chans": channels, "num_classes": 0, "pretrained": False}
        try:
            # Models with learnt positions are built for one size; the others do not know the setting.
            return timm.create_model(name, img_size=image_size, **settings)
        except TypeError:
            return timm.create_model(name, **settings)


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"did you mean {', '.join(near)}?" if near else "use small_cnn or a timm model name, as resnet18"
