"""What a training is made of: network, loss, batches and history, put together from a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hpa_hier.config import AugmentSettings
from hpa_hier.data.cooccurrence import factors_for
from hpa_hier.errors import UserError
from hpa_hier.members.batches import Dealing, Part, PartBatches, TrainingBatches
from hpa_hier.members.history import History, Watch
from hpa_hier.members.intensity import channel_statistics
from hpa_hier.members.manifest import HISTORY
from hpa_hier.members.module import Optimising, Training
from hpa_hier.members.plan import Plan
from hpa_hier.models.augment import Ranges
from hpa_hier.models.backbones import BackboneRequest, build_backbone
from hpa_hier.models.heads import Flat
from hpa_hier.models.losses import loss_named
from hpa_hier.models.network import Network

_WATCHED_AT_ONCE = 256  # images of the calibration part in a pass after each epoch


@dataclass(frozen=True)
class Assembly:
    """A training, ready to run."""

    module: Training
    batches: TrainingBatches
    watched_batches: PartBatches
    watch: Watch
    history: History

    @property
    def epochs(self) -> int:
        """The most epochs that the steps come to."""
        return -(-self.watch.steps // len(self.batches))

    @property
    def steps_done(self) -> int:
        """Steps of the epochs in the history."""
        return min(self.watch.steps, len(self.history.rows) * len(self.batches))


def assemble(plan: Plan, device: torch.device, checkpoint: Mapping[str, Any], lines: str) -> Assembly:
    """Put a training together.

    Args:
        plan: what is trained.
        device: where.
        checkpoint: the callbacks' states of an earlier training, {} at a first one.
        lines: name that each epoch's line begins with; "" for no lines.
    """
    settings = plan.settings
    train, calibration = plan.run.part("train", plan.nodes), plan.run.part("calibration", plan.nodes)
    if not len(calibration):
        raise UserError(f"{plan.run.folder / 'split.csv'}: the calibration part is empty; split with other fractions")
    batches = _batches(plan, train, device)
    steps = settings.max_steps or settings.epochs * len(batches)
    prevalence = train.present.sum(axis=0) / np.maximum(train.known.sum(axis=0), 1)
    watch = Watch(settings.stop_on, steps)
    history = History(plan.folder / HISTORY, watch, lines)
    if checkpoint:
        history.load_state_dict(checkpoint[history.state_key])
    module = Training(
        network=_network(plan, train, prevalence, pretrained=not checkpoint),
        loss=loss_named(settings.loss, torch.from_numpy(prevalence).float()),
        optimising=Optimising(settings.learning_rate, settings.weight_decay, settings.schedule, steps),
        calibration=calibration,
        seed=plan.member.seed,
    )
    world = settings.devices * settings.nodes
    watched = PartBatches(plan.run.pack, calibration, _WATCHED_AT_ONCE, world)
    return Assembly(module, batches, watched, watch, history)


def ranges_of(settings: AugmentSettings, channels: Sequence[str]) -> Ranges:
    """Return the recipe's augmentation of images with these channels as plain ranges."""
    dropped: dict[str, float] = {str(channel): share for channel, share in settings.drop_channels.items()}
    return Ranges(
        flips_and_quarter_turns=settings.flips_and_quarter_turns,
        rotate=settings.rotate,
        scale=settings.scale,
        shift=settings.shift,
        gain=settings.gain,
        drop=tuple(dropped.get(channel, 0.0) for channel in channels),
    )


def _batches(plan: Plan, train: Part, device: torch.device) -> TrainingBatches:
    settings = plan.settings
    asked = (settings.balance, settings.balance_target, settings.balance_bound, settings.balance_most)
    factors = factors_for(train.present, *asked)
    dealing = Dealing(
        seed=plan.member.seed,
        batch_size=settings.batch_size,
        ranges=ranges_of(settings.augment, plan.run.pack.channels),
        on_device=device.type == "cuda",
        world=settings.devices * settings.nodes,
    )
    return TrainingBatches(plan.run.pack, train, factors, dealing)


def _network(plan: Plan, train: Part, prevalence: np.ndarray, pretrained: bool) -> Network:
    """Build the network that training starts from; weights from elsewhere are only fetched at a first start."""
    settings = plan.settings
    request = BackboneRequest(
        name=settings.backbone,
        channels=plan.run.pack.channels,
        image_size=plan.run.pack.size,
        width=settings.width,
        pretrained=settings.pretrained and pretrained,
        weights=Path(settings.weights) if settings.weights and pretrained else None,
        fourth_channel=settings.fourth_channel,
    )
    torch.manual_seed(plan.member.seed)
    backbone, features = build_backbone(request)
    head = Flat(features, prevalence, settings.dropout)
    network = Network(backbone, head, *channel_statistics(plan.run.pack, train.rows))
    return network.to(memory_format=torch.channels_last)
