"""Backbones: normalised images to features, at any number of channels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.models.backbones.efficientnet_lite import EFFICIENTNET_LITE, EfficientNetLite
from hpa_hier.models.backbones.imagenet import fill_from_package
from hpa_hier.models.backbones.mlp import Mlp
from hpa_hier.models.backbones.pooling import Pooled, probe_shape
from hpa_hier.models.backbones.pretrained import fill_from_file, fill_from_hub
from hpa_hier.models.backbones.report_networks import REPORT_NETWORKS
from hpa_hier.models.backbones.small_cnn import SmallCnn
from hpa_hier.models.backbones.subcell import SUBCELL, SubCell, fill_from_download, where_to_get
from hpa_hier.models.normal_scores import WIDTHS
from hpa_hier.settings.training import MLP, PACKAGE, TrainingSettings

SMALL_CNN = "small_cnn"


@dataclass(frozen=True)
class Backbone:
    """A backbone with the number of its features."""

    module: nn.Module  # (B, C, H, W) normalised, or (B, F) standardised → (B, features)
    features: int
    normalises: bool = False  # whether it takes intensities as they are, in 0..255, and normalises them itself


def build_backbone(
    settings: TrainingSettings, channels: Sequence[str], image_size: int, *, start: bool = True
) -> Backbone:
    """Build the backbone that the settings name.

    Args:
        settings: of the member.
        channels: of the images, or the features of the vectors, by name and in order.
        image_size: pixels, side of the square images; some models are built for one size.
        start: whether it starts from the weights that the settings name; else they are loaded later.

    Raises:
        UserError: unknown name, pretrained weights that cannot be had or do not fit, or a size of `settings.sizes`
            that it does not take.

    >>> build_backbone(TrainingSettings(width=8), ("red", "green"), 64).features
    128
    """
    name = settings.backbone
    if name == MLP:
        mlp = Mlp(len(channels) * WIDTHS[settings.vectors], settings.mlp)
        if start and settings.weights:  # another member's
            fill_from_file(mlp, Path(settings.weights), channels)
        return Backbone(mlp, mlp.num_features)
    if name == SUBCELL:
        return _build_subcell(settings, channels, image_size, start)
    own = name == SMALL_CNN or name in REPORT_NETWORKS
    if own and start and settings.pretrained and not settings.weights:
        raise UserError(f"training.pretrained: {name} has no pretrained weights on the hub; name --weights FILE")
    model: Any
    if name == SMALL_CNN:
        model = SmallCnn(len(channels), settings.width, settings.pooling)
    elif own:
        model = REPORT_NETWORKS[name](len(channels), image_size, settings.pooling)
    elif name == EFFICIENTNET_LITE and settings.pooling == "own" and not start:
        model = EfficientNetLite(len(channels))
    else:
        model = _timm_model(name, len(channels), image_size)
    built, features = model, int(getattr(model, "head_hidden_size", None) or model.num_features)
    if not own and settings.pooling != "own":
        built = Pooled(model, name, settings.pooling, len(channels), image_size)
        features = built.num_features
    if start:
        if settings.weights and settings.weights.startswith(PACKAGE):
            fill_from_package(model, settings.weights, name, channels)
        elif settings.weights:
            fill_from_file(model, Path(settings.weights), channels)
        elif settings.pretrained:
            fill_from_hub(model, name, channels)
        _check_sizes(built, settings, len(channels))
    return Backbone(built, features)


def _build_subcell(settings: TrainingSettings, channels: Sequence[str], image_size: int, start: bool) -> Backbone:
    if settings.pooling != "own":
        raise UserError(f"training.pooling: subcell pools its tokens itself, got {settings.pooling!r}; leave it out")
    if start and not settings.weights:
        raise UserError(f"training.weights: subcell starts from its published weights; {where_to_get(channels)}")
    model = SubCell(channels, image_size)
    if start:
        fill_from_download(model, Path(str(settings.weights)), channels)
        _check_sizes(model, settings, len(channels))
    return Backbone(model, model.num_features, normalises=True)


def _check_sizes(backbone: nn.Module, settings: TrainingSettings, channels: int) -> None:
    """Refuse sizes that a backbone cannot take, before the first step."""
    for size in settings.sizes:
        try:
            probe_shape(backbone, channels, size)
        except (AssertionError, RuntimeError):
            raise UserError(
                f"training.sizes: {settings.backbone} does not take images of {size}×{size} pixels here; leave sizes "
                "out, or take small_cnn or another convolutional backbone"
            ) from None


def _timm_model(name: str, channels: int, image_size: int) -> Any:  # noqa: ANN401 - timm's
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm's notes on renamed models are for its own maintainers
        import timm

        if not timm.is_model(name):
            near = did_you_mean(name, [*REPORT_NETWORKS, *timm.list_models()])
            raise UserError(f"training.backbone: no model {name!r}{near or '; use small_cnn or a timm model name'}")
        options: dict[str, Any] = {"in_chans": channels, "num_classes": 0, "pretrained": False}
        try:
            # Models with learnt positions are built for one size; the others do not know the setting.
            return timm.create_model(name, img_size=image_size, **options)
        except TypeError:
            return timm.create_model(name, **options)
