"""What a training is made of: network, loss, batches and history, put together from a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch

from hpa_hier.data.balance.cooccurrence import balance_factors
from hpa_hier.data.pack.pack import ImagePack, VectorPack
from hpa_hier.errors import UserError
from hpa_hier.members.networks import add_head, build_on_features
from hpa_hier.models.backbones.create import build_backbone
from hpa_hier.models.heads.ancestry import Ancestry
from hpa_hier.models.heads.build import HeadData
from hpa_hier.models.losses.table import LOSSES
from hpa_hier.models.network import Network, Normalise, Standardise
from hpa_hier.runs.manifest import HISTORY
from hpa_hier.runs.part import Part
from hpa_hier.training.batches.frozen import cached_features
from hpa_hier.training.batches.images import PartBatches, TrainingBatches
from hpa_hier.training.batches.intensity import channel_statistics
from hpa_hier.training.batches.vectors import VectorPartBatches, Vectors, VectorTrainingBatches, feature_statistics
from hpa_hier.training.choices import batch_sampling, collect_loss_data
from hpa_hier.training.loop.arcface import Bank, antibody_part, arcface_loss
from hpa_hier.training.loop.averaging import MovingAverage
from hpa_hier.training.loop.history import History, Watch
from hpa_hier.training.loop.module import Length, Training
from hpa_hier.training.plan import Plan

_WATCHED_AT_ONCE = 256  # images of the calibration part in a pass after each epoch


@dataclass(frozen=True)
class Assembly:
    """A training, ready to run."""

    network: Network  # the whole one; of a frozen backbone's, `module` trains the head only
    read: Callable[[np.ndarray], np.ndarray]  # rows of the pack → what the trained network takes
    module: Training
    batches: TrainingBatches
    watched_batches: PartBatches
    length: Length
    history: History
    callbacks: tuple[pl.Callback, ...]  # what the trainer is to call, the history last

    @property
    def steps_done(self) -> int:
        """Steps of the epochs in the history."""
        return min(self.length.steps, len(self.history.rows) * self.length.steps_per_epoch)


def assemble(plan: Plan, device: torch.device, checkpoint: Mapping[str, Any], lines: str) -> Assembly:
    """Put a training together.

    Args:
        plan: what is trained.
        device: where.
        checkpoint: the callbacks' states of an earlier training, {} at a first one.
        lines: name that each epoch's line begins with; "" for no lines.
    """
    settings = plan.settings
    train, calibration = (plan.run.part(name, plan.nodes, plan.carry) for name in ("train", "calibration"))
    if not len(calibration):
        why = "holds none of the member's images" if plan.carry else "is empty"
        raise UserError(f"{plan.run.folder / 'split.csv'}: the calibration part {why}; split with other fractions")
    asked = (settings.balance, settings.balance_target, settings.balance_bound, settings.balance_most)
    factors = balance_factors(train.present, *asked)
    # the share of an epoch as it is dealt out: what is repeated is met more often
    prevalence = (factors @ train.present) / np.maximum(factors @ train.known, 1)
    ancestry = Ancestry.from_names(plan.nodes, plan.parents)
    rule, data = LOSSES[settings.loss], collect_loss_data(settings, plan.nodes, train, prevalence, ancestry)
    shown = antibody_part(train, plan.run.pack.groups) if settings.head == "arcface" else train
    metric = (shown.present.shape[1], len(train)) if settings.head == "arcface" else (0, 0)
    head_data = HeadData(ancestry, rule.first_guess(data).numpy(), *metric)
    network, trained, source = _networks(plan, train, head_data, device, first=not checkpoint)
    batches, watched = _batches(plan, (shown, calibration), factors, source, device)
    length = Length(settings.max_steps or settings.epochs * batches.steps, batches.steps)
    history = History(plan.folder / HISTORY, Watch(settings.stop_on), length.steps, lines)
    if checkpoint:
        history.load_state_dict(checkpoint[history.state_key])
    read = plan.run.pack.read if source is None else source.vectors
    callbacks: list[pl.Callback] = [MovingAverage(settings.ema)] if settings.ema else []
    training_loss = watched_loss = rule.make(data)
    if settings.head == "arcface":
        callbacks.append(Bank(train, read))
        training_loss = arcface_loss(settings.arcface.scale, settings.arcface.margin)
    module = Training(trained, training_loss, settings, length, calibration, plan.member.seed, watched_loss)
    return Assembly(network, read, module, batches, watched, length, history, (*callbacks, history))


def _batches(
    plan: Plan, parts: tuple[Part, Part], factors: np.ndarray, source: Vectors | None, device: torch.device
) -> tuple[TrainingBatches, PartBatches]:
    """Return the batches of training and calibration part: of images, or of a source's vectors."""
    (train, calibration), pack = parts, plan.run.pack
    dealing = batch_sampling(plan, factors, on_device=device.type == "cuda")
    if source is not None:
        watched = VectorPartBatches(source, calibration, _WATCHED_AT_ONCE, dealing.world)
        return VectorTrainingBatches(source, train, factors, dealing), watched
    assert isinstance(pack, ImagePack)  # a pack of vectors is its own source
    watched_images = PartBatches(pack, calibration, _WATCHED_AT_ONCE, dealing.world)
    return TrainingBatches(pack, train, factors, dealing), watched_images


def _networks(
    plan: Plan, train: Part, data: HeadData, device: torch.device, first: bool
) -> tuple[Network, Network, Vectors | None]:
    """Build the network, the part of it that is trained, and where that reads vectors; None: it reads images.

    Weights from elsewhere are only fetched at a first start; but a frozen backbone's always, since no checkpoint holds
    them.
    """
    settings, pack = plan.settings, plan.run.pack
    torch.manual_seed(plan.member.seed)
    if isinstance(pack, VectorPack):
        backbone = build_backbone(settings, pack.features, pack.facts.size, start=first)
        network = add_head(settings, backbone, data, Standardise(*feature_statistics(pack, train.rows)))
        return network, network, pack
    normalise = Normalise(*channel_statistics(pack, train.rows))
    backbone = build_backbone(settings, pack.channels, pack.size, start=first or settings.frozen)
    if not settings.frozen:
        network = add_head(settings, backbone, data, normalise).to(memory_format=torch.channels_last)
        return network, network, None
    kept = cached_features(plan.run.folder / "features", pack, normalise, backbone, device)
    standardise = Standardise(*feature_statistics(kept, train.rows))
    trained = build_on_features(settings, backbone.features, data, standardise)
    return Network(backbone.module, trained, normalise), trained, kept
