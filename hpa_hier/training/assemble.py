"""What a training is made of: network, loss, batches and history, put together from a plan."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch

from hpa_hier.data.balance.repeat import partner_weights
from hpa_hier.data.pack.pack import ImagePack, VectorPack
from hpa_hier.errors import UserError
from hpa_hier.members.networks import add_head, build_on_features
from hpa_hier.models.augment.style import Styles
from hpa_hier.models.backbones.create import build_backbone
from hpa_hier.models.heads.ancestry import Ancestry
from hpa_hier.models.heads.arcface import arcface
from hpa_hier.models.heads.build import HeadData
from hpa_hier.models.losses.loss import Loss, LossData, with_auxiliary
from hpa_hier.models.losses.table import LOSSES
from hpa_hier.models.network import Network, Normalise
from hpa_hier.models.precision import Precision, round_to_half
from hpa_hier.runs.manifest import HISTORY
from hpa_hier.runs.run import Part
from hpa_hier.settings.training import ArcfaceSettings, AugmentSettings, TrainingSettings
from hpa_hier.training.batches.frozen import cached_features
from hpa_hier.training.batches.images import Augmentation, AugmentedImages
from hpa_hier.training.batches.on_device import DeviceImages, keeps_on_device
from hpa_hier.training.batches.order import PartBatches, PartReader, Read, TrainingBatches
from hpa_hier.training.batches.statistics import channel_statistics, vector_normalisation
from hpa_hier.training.batches.styles import describe_styles, read_styles
from hpa_hier.training.loop.arcface import Bank, antibody_part
from hpa_hier.training.loop.averaging import MovingAverage
from hpa_hier.training.loop.history import History, Watch
from hpa_hier.training.loop.module import Length, Training
from hpa_hier.training.loop.trainer import training_precision
from hpa_hier.training.plan import Plan
from hpa_hier.training.processes.same import SameStatistics
from hpa_hier.training.shipped_start import start_head

_WATCHED_AT_ONCE = 256  # images of the calibration part in a pass after each epoch


@dataclass(frozen=True)
class Assembly:
    """A training, ready to run."""

    network: Network  # the whole one; of a frozen backbone's, `module` trains the head only
    read: Read  # rows of the pack → what the trained network takes
    module: Training
    batches: TrainingBatches
    watched_batches: PartBatches
    length: Length
    history: History
    callbacks: tuple[pl.Callback, ...]  # what the trainer is to call, the history last
    precision: Precision  # usual for its kind of backbone and device, unless another one was measured to pay


def assemble(plan: Plan, device: torch.device, checkpoint: Mapping[str, Any], lines: str) -> Assembly:
    """Put a training together.

    Args:
        plan: what is trained.
        device: of this process.
        checkpoint: the callbacks' states of an earlier training, {} at a first one.
        lines: name that each epoch's line begins with; "" for no lines.

    Raises:
        UserError: no images to watch, or too few to train on, to vary, or to tell antibodies by.
    """
    settings, pack, seed = plan.settings, plan.run.pack, plan.member.seed
    train, calibration = plan.learned_parts()
    factors = plan.factors(train)
    ancestry = Ancestry.from_names(plan.nodes, plan.parents)
    rule, data = LOSSES[settings.loss], _loss_data(settings, plan.nodes, train, factors, ancestry)
    training_loss = watched_loss = rule.make(data.to(device))
    shown = antibody_part(train, pack.groups) if settings.head == "arcface" else train
    remembered = (shown.present.shape[1], len(train)) if settings.head == "arcface" else (0, 0)
    head_data = HeadData(ancestry, rule.first_guess(data).numpy(), *remembered)
    if plan.auxiliary:
        others = plan.run.part("train", plan.auxiliary, plan.carry)
        other_data = _loss_data(settings, plan.auxiliary, others, factors, Ancestry.from_names(plan.auxiliary, {}))
        training_loss = with_auxiliary(
            watched_loss, rule.make(other_data.to(device)), settings.auxiliary, len(plan.nodes)
        )
        head_data = replace(head_data, auxiliary_guess=rule.first_guess(other_data).numpy())
        shown = plan.run.part("train", (*plan.nodes, *plan.auxiliary), plan.carry)
    network, trained, read = _networks(plan, train, head_data, device, first=not checkpoint)
    reader = PartReader(read, shown)
    if isinstance(pack, ImagePack) and not settings.frozen:
        kept = keeps_on_device(settings, pack, len(shown), device)
        augmentation = plan_augmentation(plan, factors, on_device=kept or device.type == "cuda")
        if settings.augment.styles:
            augmentation = replace(augmentation, styles=_read_styles(pack, settings.augment, lines))
        reader = DeviceImages(pack, shown, augmentation, device) if kept else AugmentedImages(pack, shown, augmentation)
    batches = TrainingBatches(reader, factors, settings, plan.data_seed)
    watched = PartBatches(PartReader(read, calibration), _WATCHED_AT_ONCE, settings.devices * settings.nodes)
    length = Length(settings.max_steps or settings.epochs * batches.steps, batches.steps)
    history = History(plan.folder / HISTORY, Watch(settings.stop_on), length.steps, lines)
    if checkpoint:
        history.load_state_dict(checkpoint[history.state_key])
    callbacks: list[pl.Callback] = [MovingAverage(settings.ema)] if settings.ema else []
    if settings.devices * settings.nodes > 1:
        callbacks.append(SameStatistics())
    if settings.head == "arcface":
        callbacks.append(Bank(train, read))
        training_loss = _antibody_loss(settings.arcface)
    usual = training_precision(settings, device)
    module = Training(trained, training_loss, settings, length, calibration, seed, watched_loss)
    return Assembly(network, read, module, batches, watched, length, history, (*callbacks, history), usual)


def _loss_data(
    settings: TrainingSettings, nodes: Sequence[str], train: Part, factors: np.ndarray, ancestry: Ancestry
) -> LossData:
    """Return what a loss of these nodes may look at: numbers, weights, and the training part's counts of them."""
    by_hand = settings.class_weights or {}
    return LossData(
        # the share of an epoch, in which what is repeated is met more often
        prevalence=torch.from_numpy((factors @ train.present) / np.maximum(factors @ train.known, 1)),
        positives=torch.from_numpy((train.present & train.known).sum(axis=0)),
        ancestry=ancestry,
        weights=torch.tensor([by_hand.get(node, torch.nan) for node in nodes]),
        numbers=settings.loss_options or {},
    )


def _antibody_loss(settings: ArcfaceSettings) -> Loss:
    """Return `arcface` as a loss of batches whose nodes are antibodies, all known."""
    return lambda cosines, present, _: arcface(cosines, present, settings.scale, settings.margin)


def plan_augmentation(plan: Plan, factors: np.ndarray, on_device: bool) -> Augmentation:
    """Return how a member's images are varied and mixed.

    Args:
        plan: of the training.
        factors: (B,) how often each training image is met in an epoch. Where classes are balanced by co-occurrence,
            only additional copies are mixed, and with images that are repeated.
        on_device: whether the device moves the images.

    Raises:
        UserError: only images with minority leaves are to be varied or mixed, and too few have any.
    """
    settings, augment, minority = plan.settings, plan.settings.augment, None
    if augment.only_minority or augment.mixing == "union_mean":
        minority = np.any(plan.run.part("train", plan.run.partition["minority"], plan.carry).present, axis=1)
        if minority.sum() < 2:
            raise UserError(
                f"training.augment: {minority.sum()} training images carry a minority leaf, and only those are to be "
                "varied or mixed; set partition.majority_min_images or partition.majority"
            )
    chances = partner_weights(factors) if settings.balance in ("cooccurrence", "weighted") else None
    varied = minority if augment.only_minority else None
    return Augmentation(settings, plan.data_seed, on_device, varied, minority, chances)


def _read_styles(pack: ImagePack, settings: AugmentSettings, lines: str) -> Styles:
    """Read the pictures whose look training images take on, and say how many there are."""
    folder = Path(str(settings.styles))
    styles = read_styles(folder, pack.channels, pack.size, pack.facts.intensity)
    if lines:
        print(f"{lines}: {describe_styles(styles, folder, pack.channels)}", file=sys.stderr)
    return styles


def _networks(
    plan: Plan, train: Part, data: HeadData, device: torch.device, first: bool
) -> tuple[Network, Network, Read]:
    """Build the network and the part of it that is trained; return both, and what reads samples for that part.

    Weights from elsewhere are only fetched at a first start; but a frozen backbone's always, since no checkpoint holds
    them.
    """
    settings, pack = plan.settings, plan.run.pack
    if settings.start_from:
        settings = settings.model_copy(update={"weights": str(plan.weights)})
    torch.manual_seed(plan.member.seed)
    if isinstance(pack, VectorPack):
        backbone = build_backbone(settings, pack.features, pack.facts.size, start=first)
        network = add_head(settings, backbone, data, vector_normalisation(settings.vectors, pack.vectors, train.rows))
        return network, network, pack.vectors
    backbone = build_backbone(settings, pack.channels, pack.size, start=first or settings.frozen)
    plain = np.zeros(len(pack.channels)), np.ones(len(pack.channels))
    normalise = Normalise(*(plain if backbone.normalises else channel_statistics(pack, train.rows)))
    if not settings.frozen:
        network = add_head(settings, backbone, data, normalise)
        if settings.channels_last:
            network = network.to(memory_format=torch.channels_last)
        if first and settings.init == "pretrained" and not (settings.dense or settings.start_from):
            start_head(network.head, {node: plan.meanings[node] for node in plan.nodes}, Path(str(settings.weights)))
        return network, network, pack.images
    if settings.save_dtype == "float16":
        round_to_half(backbone.module)  # features as the kept backbone will make them
    features = cached_features(plan.run.folder / "features", pack, normalise, backbone, device)
    on_features = vector_normalisation(settings.vectors, features.__getitem__, train.rows)
    trained = build_on_features(settings, backbone.features, data, on_features)
    return Network(backbone.module, trained, normalise), trained, features.__getitem__
