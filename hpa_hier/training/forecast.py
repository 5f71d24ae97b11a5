"""Forecast: how long a training takes on this machine, from a few steps of each kind of network."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from hpa_hier.members.estimators.create import create_estimator
from hpa_hier.members.estimators.fitted import Lesson, fit_nodes
from hpa_hier.models.backbones.create import build_backbone
from hpa_hier.models.heads.head import Flat
from hpa_hier.models.network import Network, Normalise
from hpa_hier.models.normal_scores import normalise_vectors
from hpa_hier.settings.training import MLP, SKLEARN, TrainingSettings

_MOST, _ENOUGH = 16, 2.0  # steps and seconds in which a network is timed; the first step allocates
_NODES = 28  # of the timed head, whose size hardly matters
_FIRST, _LONG, _SHARE = 64, 0.5, 0.1  # samples of the first timed fit, seconds of the last one, and share of positives
_START = 3.3  # seconds of a member's process beside its steps: ten members of three steps take 17 s, two at a time


@dataclass(frozen=True)
class Samples:
    """What the networks are trained on."""

    count: int  # of the training part; with folds, of the training and the calibration part
    channels: tuple[str, ...]  # or features, of vectors
    size: int  # pixels; 1 for vectors


def forecast_training(members: Sequence[TrainingSettings], samples: Samples, device: torch.device, slots: int) -> float:
    """Return the seconds that members take, at most: training may stop early.

    Each kind of network (backbone, width, batch size, frozen or not) is built and trained for a few steps on noise, and
    each kind of estimator is fitted to some of it.
    What reading, varying and watching samples takes is left out; benchmarks/forecast.py compares with trainings.

    Args:
        members: settings of each, as they are trained.
        samples: that they are trained on.
        device: where a step is timed.
        slots: members that are trained at the same time.
    """
    paces: dict[tuple[object, ...], float] = {}
    total = 0.0
    for settings in members:
        folds = settings.folds or 0
        count = samples.count * (folds - 1) // folds if folds else samples.count
        if settings.backbone == SKLEARN:
            fit: tuple[object, ...] = (settings.estimator, str(settings.estimator_parameters), count)
            if fit not in paces:
                paces[fit] = forecast_fit(settings, samples, count)
            total += paces[fit] * max(1, folds) + _START
            continue
        batch = min(settings.batch_size, count)
        steps_per_epoch = max(1, count // batch // settings.accumulate)
        steps = settings.max_steps or settings.epochs * steps_per_epoch
        frozen = steps if settings.frozen else min(steps, settings.freeze_epochs * steps_per_epoch)
        for part, still in ((frozen, True), (steps - frozen, False)):
            kind = (settings.backbone, settings.width, batch, still, str(settings.mlp))
            if part and kind not in paces:
                paces[kind] = measure_step(settings, samples, batch, device, frozen=still)
            total += (part * settings.accumulate * paces[kind] if part else 0.0) * max(1, folds)
        total += _START
    return total / max(1, min(slots, len(members)))


def forecast_fit(settings: TrainingSettings, samples: Samples, count: int) -> float:
    """Return the seconds that estimators take to fit on `count` samples, from fits on fewer of noise.

    Samples are doubled until a fit takes a while; from the last two times follows by which power they grow.
    """
    estimator = create_estimator(settings.estimator or "", settings.estimator_parameters, 0)
    noise = np.random.default_rng(0)
    times: list[tuple[int, float]] = []
    tried = min(_FIRST, count)
    while True:
        values = noise.standard_normal((tried, len(samples.channels))).astype(np.float32)
        present = noise.random((tried, _NODES)) < _SHARE
        present[:2] = [[True], [False]]
        began = time.perf_counter()
        try:
            fit_nodes(estimator, Lesson(values, present, np.ones_like(present), np.ones(tried)), seed=0)
        except ValueError:  # it needs more samples; if it refuses all of them, the training says so
            if tried == count:
                return 0.0
            tried = min(2 * tried, count)
            continue
        times.append((tried, time.perf_counter() - began))
        if tried == count or times[-1][1] > _LONG:
            break
        tried = min(2 * tried, count)
    (fewer, less), (most, longest) = times[-2:] if len(times) > 1 else (times[0], times[0])
    power = np.log(longest / less) / np.log(most / fewer) if most > fewer else 1.0
    return float(longest * (count / most) ** max(1.0, power))


def measure_step(
    settings: TrainingSettings, samples: Samples, batch: int, device: torch.device, *, frozen: bool = False
) -> float:
    """Return the seconds of one training step of `batch` samples of noise; `frozen`: only the head is trained."""
    torch.manual_seed(0)
    backbone = build_backbone(settings, samples.channels, samples.size, start=False)
    features = len(samples.channels)
    statistics = np.zeros(features), np.ones(features)
    on_vectors = settings.backbone == MLP
    normalise = normalise_vectors(settings.vectors, *statistics) if on_vectors else Normalise(*statistics)
    head = Flat(backbone.features, np.full(_NODES, 0.5), 0.0)
    network = Network(backbone.module, head, normalise).to(device)
    if not on_vectors:
        network = network.to(memory_format=torch.channels_last)
    network.backbone.requires_grad_(not frozen)
    trained = [weights for weights in network.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(trained, fused=device.type in ("cpu", "cuda"))
    shape = (batch, features) if on_vectors else (batch, features, samples.size, samples.size)
    noise = torch.randint(0, 256, shape, device=device, dtype=torch.uint8)
    values = noise.float() if on_vectors else noise.contiguous(memory_format=torch.channels_last)
    present = torch.zeros(batch, _NODES, device=device)
    seconds: list[float] = []
    while len(seconds) < 2 or (len(seconds) < _MOST and sum(seconds) < _ENOUGH):
        began = time.perf_counter()
        loss = functional.binary_cross_entropy_with_logits(network.training_logits(values), present)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        float(loss.detach())  # waits for the device
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])  # others may have waited for the machine
