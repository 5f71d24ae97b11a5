"""What a training is made of: network, loss, batches and history, put together from a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hpa_hier.config import AugmentSettings, TrainingSettings
from hpa_hier.data.balance import repeat_factors
from hpa_hier.data.pack import VECTORS
from hpa_hier.errors import UserError
from hpa_hier.members.batches import Dealing, Part, PartBatches, TrainingBatches
from hpa_hier.members.frozen import kept_features
from hpa_hier.members.history import History, Watch
from hpa_hier.members.intensity import channel_statistics
from hpa_hier.members.manifest import HISTORY
from hpa_hier.members.module import Optimising, Training
from hpa_hier.members.networks import Nodes, backbone_of, on_features, whole
from hpa_hier.members.plan import Plan
from hpa_hier.members.vector_batches import (
    VectorPartBatches,
    Vectors,
    VectorTrainingBatches,
    feature_statistics,
)
from hpa_hier.models.ancestry import Ancestry
from hpa_hier.models.augment import Ranges
from hpa_hier.models.losses import Loss, loss_named
from hpa_hier.models.max_constraint import MaxConstraint
from hpa_hier.models.network import Network

_WATCHED_AT_ONCE = 256  # images of the calibration part in a pass after each epoch


@dataclass(frozen=True)
class Assembly:
    """A training, ready to run."""

    network: Network  # the whole one; of a frozen backbone's, `module` trains the head only
    read: Callable[[np.ndarray], np.ndarray]  # rows of the pack → what the trained network takes
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
    train, calibration = (plan.run.part(name, plan.nodes, plan.carry) for name in ("train", "calibration"))
    if not len(calibration):
        why = "holds none of the member's images" if plan.carry else "is empty"
        raise UserError(f"{plan.run.folder / 'split.csv'}: the calibration part {why}; split with other fractions")
    prevalence = train.present.sum(axis=0) / np.maximum(train.known.sum(axis=0), 1)
    nodes = Nodes(Ancestry.of(plan.nodes, plan.parents), prevalence)
    network, trained, source = _networks(plan, train, nodes, device, first=not checkpoint)
    batches, watched = _batches(plan, (train, calibration), source, device)
    steps = settings.max_steps or settings.epochs * len(batches)
    watch = Watch(settings.stop_on, steps)
    history = History(plan.folder / HISTORY, watch, lines)
    if checkpoint:
        history.load_state_dict(checkpoint[history.state_key])
    conditional_steps = round(settings.chain.first_stage * steps) if settings.head == "chain" else 0
    module = Training(
        network=trained,
        loss=_loss(settings, nodes),
        optimising=Optimising(
            settings.learning_rate, settings.weight_decay, settings.schedule, steps, conditional_steps
        ),
        calibration=calibration,
        seed=plan.member.seed,
    )
    read = plan.run.pack.images if source is None else source.vectors
    return Assembly(network, read, module, batches, watched, watch, history)


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


def _batches(
    plan: Plan, parts: tuple[Part, Part], source: Vectors | None, device: torch.device
) -> tuple[TrainingBatches, PartBatches]:
    """Return the batches of training and calibration part: of images, or of a source's vectors."""
    settings, (train, calibration) = plan.settings, parts
    pack = plan.run.pack
    factors = repeat_factors(train.present) if settings.balance == "repeat" else np.ones(len(train), np.int64)
    world = settings.devices * settings.nodes
    dealing = Dealing(
        seed=plan.member.seed,
        batch_size=settings.batch_size,
        ranges=ranges_of(settings.augment, pack.channels),
        on_device=device.type == "cuda",
        world=world,
    )
    if source is not None:
        watched = VectorPartBatches(source, calibration, _WATCHED_AT_ONCE, world)
        return VectorTrainingBatches(source, train, factors, dealing), watched
    return TrainingBatches(pack, train, factors, dealing), PartBatches(pack, calibration, _WATCHED_AT_ONCE, world)


def _loss(settings: TrainingSettings, nodes: Nodes) -> Loss:
    if settings.loss == "max_constraint":
        return MaxConstraint(nodes.ancestry)
    return loss_named(settings.loss, torch.from_numpy(nodes.prevalence).float())


def _networks(
    plan: Plan, train: Part, nodes: Nodes, device: torch.device, first: bool
) -> tuple[Network, Network, Vectors | None]:
    """Build the network, the part of it that is trained, and where that reads vectors; None: it reads images.

    Weights from elsewhere are only fetched at a first start; but a frozen backbone's always, since no checkpoint holds
    them.
    """
    settings, pack = plan.settings, plan.run.pack
    torch.manual_seed(plan.member.seed)
    if pack.kind == VECTORS:
        backbone = backbone_of(settings, pack.channels, pack.size, start=first)
        network = whole(settings, backbone, nodes, feature_statistics(pack, train.rows))
        return network, network, pack
    statistics = channel_statistics(pack, train.rows)
    backbone = backbone_of(settings, pack.channels, pack.size, start=first or settings.frozen)
    if not settings.frozen:
        network = whole(settings, backbone, nodes, statistics).to(memory_format=torch.channels_last)
        return network, network, None
    bare = Network(backbone[0], torch.nn.Identity(), *statistics).to(memory_format=torch.channels_last)
    kept = kept_features(plan.run.folder / "features", pack, bare, backbone[1], device)
    trained = on_features(settings, backbone[1], nodes, feature_statistics(kept, train.rows))
    bare.head = trained
    return bare, trained, kept
