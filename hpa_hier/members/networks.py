"""A member's network put together: backbone, layers above it, head."""

from __future__ import annotations

import numpy as np

from hpa_hier.data.pack.pack_file import VECTORS
from hpa_hier.models.backbones.create import Backbone, build_backbone
from hpa_hier.models.backbones.mlp import Mlp, dense_layers
from hpa_hier.models.heads.ancestry import Ancestry
from hpa_hier.models.heads.build import HeadData, build_head
from hpa_hier.models.heads.head import Flat, Head
from hpa_hier.models.network import Averaged, Network, Normalise, Standardise
from hpa_hier.models.normal_scores import WIDTHS, normalise_vectors
from hpa_hier.runs.manifest import Manifest, training_settings
from hpa_hier.settings.training import TrainingSettings


def add_head(settings: TrainingSettings, backbone: Backbone, data: HeadData, normalise: Normalise) -> Network:
    """Put a backbone, dense layers and a new head together, all to be trained."""
    width = settings.dense[-1] if settings.dense else backbone.features
    head, top = build_head(settings, width, data), dense_layers(backbone.features, settings.dense)
    return Network(backbone.module, head, normalise, top, _auxiliary_head(settings, width, data))


def _auxiliary_head(settings: TrainingSettings, features: int, data: HeadData) -> Flat | None:
    guess = data.auxiliary_guess
    return None if guess is None else Flat(features, guess, settings.dropout)


def build_on_features(settings: TrainingSettings, features: int, data: HeadData, normalise: Standardise) -> Network:
    """Build what is trained above a frozen backbone: hidden layers and a head on its standardised features."""
    mlp = Mlp(features * WIDTHS[settings.vectors], settings.mlp)
    width = mlp.num_features
    return Network(mlp, build_head(settings, width, data), normalise, auxiliary=_auxiliary_head(settings, width, data))


def build_network(manifest: Manifest) -> Head:
    """Build a member's network, or the mean of its folds' networks, its weights still untrained."""
    return Averaged([_build_one(manifest) for _ in range(manifest.folds)]) if manifest.folds else _build_one(manifest)


def _build_one(manifest: Manifest) -> Network:
    settings = training_settings(manifest).model_copy(update={"backbone": manifest.backbone, "width": manifest.width})
    data = HeadData(Ancestry.from_names(manifest.nodes, manifest.parents), np.full(len(manifest.nodes), 0.5))
    backbone = build_backbone(settings, manifest.channels, manifest.image_size, start=False)
    # Each fold's own statistics are in its weights, which take the place of these.
    statistics = np.array(manifest.mean), np.array(manifest.std)
    vectors = manifest.kind == VECTORS
    normalise = normalise_vectors(settings.vectors, *statistics) if vectors else Normalise(*statistics)
    if not settings.frozen:
        return add_head(settings, backbone, data, normalise)
    width = backbone.features
    above = build_on_features(
        settings, width, data, normalise_vectors(settings.vectors, np.zeros(width), np.ones(width))
    )
    return Network(backbone.module, above, normalise)
