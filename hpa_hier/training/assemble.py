"""What a training is made of: network, loss, batches and history, put together from a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch

from hpa_hier.data.balance.cooccurrence import balance_factors
from hpa_hier.data.balance.repeat import partner_weights
from hpa_hier.data.pack.pack import ImagePack, VectorPack
from hpa_hier.errors import UserError
from hpa_hier.members.networks import add_head, build_on_features
from hpa_hier.models.backbones.create import build_backbone
from hpa_hier.models.heads.ancestry import Ancestry
from hpa_hier.models.heads.build import HeadData
from hpa_hier.models.losses.loss import LossData
from hpa_hier.models.losses.table import LOSSES
from hpa_hier.models.network import Network, Normalise, Standardise
from hpa_hier.runs.manifest import HISTORY
from hpa_hier.runs.run import Part
from hpa_hier.training.batches.frozen import cached_features
from hpa_hier.training.batches.images import Augmentation, AugmentedImages, ImageReader
from hpa_hier.training.batches.intensity import channel_statistics
from hpa_hier.training.batches.order import EpochReader, PartBatches, PartReader, SampleOrder, TrainingBatches
from hpa_hier.training.batches.vectors import VectorReader, Vectors, feature_statistics
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


@dataclass(frozen=True)
class Parts:
    """The parts of a run's split that a training needs."""

    train: Part
    shown: Part  # the training part with what batches are to teach: antibodies for the head arcface
    calibration: Part
    factors: np.ndarray  # (B,) how often each training image is met in an epoch


def assemble(plan: Plan, device: torch.device, checkpoint: Mapping[str, Any], lines: str) -> Assembly:
    """Put a training together.

    Args:
        plan: what is trained.
        device: where.
        checkpoint: the callbacks' states of an earlier training, {} at a first one.
        lines: name that each epoch's line begins with; "" for no lines.
    """
    settings, parts = plan.settings, _read_parts(plan)
    ancestry = Ancestry.from_names(plan.nodes, plan.parents)
    rule, data = LOSSES[settings.loss], collect_loss_data(plan, parts, ancestry)
    remembered = (parts.shown.present.shape[1], len(parts.train)) if settings.head == "arcface" else (0, 0)
    head_data = HeadData(ancestry, rule.first_guess(data).numpy(), *remembered)
    network, trained, source = _networks(plan, parts.train, head_data, device, first=not checkpoint)
    batches, watched = _batches(plan, parts, source, device)
    length = Length(settings.max_steps or settings.epochs * batches.steps, batches.steps)
    history = History(plan.folder / HISTORY, Watch(settings.stop_on), length.steps, lines)
    if checkpoint:
        history.load_state_dict(checkpoint[history.state_key])
    read = plan.run.pack.read if source is None else source.vectors
    callbacks: list[pl.Callback] = [MovingAverage(settings.ema)] if settings.ema else []
    training_loss = watched_loss = rule.make(data)
    if settings.head == "arcface":
        callbacks.append(Bank(parts.train, read))
        training_loss = arcface_loss(settings.arcface.scale, settings.arcface.margin)
    module = Training(trained, training_loss, settings, length, parts.calibration, plan.member.seed, watched_loss)
    return Assembly(network, read, module, batches, watched, length, history, (*callbacks, history))


def _read_parts(plan: Plan) -> Parts:
    settings = plan.settings
    train, calibration = (plan.run.part(name, plan.nodes, plan.carry) for name in ("train", "calibration"))
    if not len(calibration):
        why = "holds none of the member's images" if plan.carry else "is empty"
        raise UserError(f"{plan.run.folder / 'split.csv'}: the calibration part {why}; split with other fractions")
    balance = (settings.balance, settings.balance_target, settings.balance_bound, settings.balance_most)
    shown = antibody_part(train, plan.run.pack.groups) if settings.head == "arcface" else train
    return Parts(train, shown, calibration, balance_factors(train.present, *balance))


def _batches(
    plan: Plan, parts: Parts, source: Vectors | None, device: torch.device
) -> tuple[TrainingBatches, PartBatches]:
    """Return the batches of training and calibration part: of images, or of a source's vectors."""
    settings, pack = plan.settings, plan.run.pack
    if source is not None:
        reader: EpochReader = VectorReader(source, parts.shown)
        watched: PartReader = VectorReader(source, parts.calibration)
    else:
        assert isinstance(pack, ImagePack)  # a pack of vectors is its own source
        augmentation = plan_augmentation(plan, parts.factors, on_device=device.type == "cuda")
        reader, watched = AugmentedImages(pack, parts.shown, augmentation), ImageReader(pack, parts.calibration)
    order = SampleOrder(parts.factors, settings, plan.member.seed)
    return (
        TrainingBatches(order, reader, settings.accumulate),
        PartBatches(watched, len(parts.calibration), _WATCHED_AT_ONCE, settings.devices * settings.nodes),
    )


def collect_loss_data(plan: Plan, parts: Parts, ancestry: Ancestry) -> LossData:
    """Return what the recipe's loss may look at: numbers, weights, and the training part's counts.

    Args:
        plan: what is trained.
        parts: of the split.
        ancestry: of the n nodes.
    """
    settings, train, weights = plan.settings, parts.train, None
    if settings.class_weights:
        weights = torch.tensor([settings.class_weights.get(node, float("nan")) for node in plan.nodes])
    return LossData(
        # the share of an epoch, in which what is repeated is met more often
        prevalence=torch.from_numpy((parts.factors @ train.present) / np.maximum(parts.factors @ train.known, 1)),
        positives=torch.from_numpy((train.present & train.known).sum(axis=0)),
        ancestry=ancestry,
        weights=weights,
        numbers=settings.loss_options or {},
    )


def plan_augmentation(plan: Plan, factors: np.ndarray, on_device: bool) -> Augmentation:
    """Return how a member's images are varied and mixed.

    Args:
        plan: what is trained.
        factors: (B,) how often each training image is met in an epoch. Where classes are balanced by co-occurrence,
            only additional copies are mixed, and with images that are repeated.
        on_device: whether the device moves the images.

    Raises:
        UserError: only images with minority leaves are to be varied or mixed, and too few have any.
    """
    augment, minority, chances = plan.settings.augment, None, None
    if augment.only_minority or augment.mixing == "union_mean":
        minority = _find_minority(plan)
    if plan.settings.balance in ("cooccurrence", "weighted"):
        chances = partner_weights(factors)
    return Augmentation(
        plan.settings, plan.member.seed, on_device, minority if augment.only_minority else None, minority, chances
    )


def _find_minority(plan: Plan) -> np.ndarray:
    """Return which of the member's training images carry a minority leaf, (B,) bool."""
    carries = np.asarray(plan.run.part("train", plan.run.partition["minority"], plan.carry).present.any(axis=1))
    if carries.sum() < 2:
        raise UserError(
            f"training.augment: {carries.sum()} training images carry a minority leaf, and only those are to be "
            "varied or mixed; set partition.majority_min_images or partition.majority"
        )
    return carries


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
