"""Choices: a recipe's settings as the plain values that losses and batches take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from hpa_hier.data.balance.repeat import partner_weights
from hpa_hier.errors import UserError
from hpa_hier.models.augment.mixing import Mixing
from hpa_hier.models.augment.warp import Ranges
from hpa_hier.models.heads.ancestry import Ancestry
from hpa_hier.models.losses.loss import LossData
from hpa_hier.runs.part import Part
from hpa_hier.settings.training import AugmentSettings, TrainingSettings
from hpa_hier.training.batches.images import BatchSampling
from hpa_hier.training.plan import Plan


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
        gamma=settings.gamma,
        crop=settings.crop,
        elastic=settings.elastic,
    )


def batch_sampling(plan: Plan, factors: np.ndarray, on_device: bool) -> BatchSampling:
    """Return how a member's epochs are dealt out, varied and mixed.

    Args:
        plan: what is trained.
        factors: (B,) how often each training image stands in an epoch. Under a plan by co-occurrence, only
            additional copies are mixed, and with images that the plan repeats.
        on_device: whether the device moves the images.

    Raises:
        UserError: only images with minority leaves are to be varied or mixed, and too few have any.
    """
    settings, pack = plan.settings, plan.run.pack
    augment = settings.augment
    minority = None
    if augment.only_minority or augment.mixing == "union_mean":
        minority = _minority(plan)
    mixing = None
    if augment.mixing != "none":
        planned = partner_weights(factors) if settings.balance in ("cooccurrence", "weighted") else None
        mixing = Mixing(augment.mixing, augment.mixing_share, augment.mixing_alpha, planned)
    return BatchSampling(
        seed=plan.member.seed,
        batch_size=settings.batch_size,
        ranges=ranges_of(augment, pack.facts.channels),
        on_device=on_device,
        world=settings.devices * settings.nodes,
        sizes=settings.sizes,
        accumulate=settings.accumulate,
        mixing=mixing,
        varied=minority if augment.only_minority else None,
        mixable=minority,
    )


def _minority(plan: Plan) -> np.ndarray:
    """Return which of the member's training images carry a minority leaf, (B,) bool."""
    carries = np.asarray(plan.run.part("train", plan.run.partition["minority"], plan.carry).present.any(axis=1))
    if carries.sum() < 2:
        raise UserError(
            f"training.augment: {carries.sum()} training images carry a minority leaf, and only those are to be "
            "varied or mixed; set partition.majority_min_images or partition.majority"
        )
    return carries


def collect_loss_data(
    settings: TrainingSettings, nodes: Sequence[str], train: Part, prevalence: np.ndarray, ancestry: Ancestry
) -> LossData:
    """Return what the recipe's loss may look at: these nodes, and the training part's counts."""
    weights = None
    if settings.class_weights:
        weights = torch.tensor([settings.class_weights.get(node, float("nan")) for node in nodes])
    return LossData(
        prevalence=torch.from_numpy(prevalence),
        positives=torch.from_numpy((train.present & train.known).sum(axis=0)),
        weights=weights,
        numbers=settings.loss_options or {},
        ancestry=ancestry,
    )
