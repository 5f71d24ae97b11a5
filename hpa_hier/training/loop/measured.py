"""Measured precision: on a CPU, a few passes of the network itself say whether bfloat16 pays."""

from __future__ import annotations

import copy
import os
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from filelock import FileLock
from pydantic import RootModel

from hpa_hier.files.atomic import read_model, write_json
from hpa_hier.models.network import Network
from hpa_hier.models.precision import Precision, processor_has_bf16
from hpa_hier.places.processor import name_processor
from hpa_hier.settings.training import TrainingSettings
from hpa_hier.training.loop.trainer import training_precision

KEPT = "precision.json"  # in a run's folder: what was measured there, by processor and network
_WORTH = 200  # steps below which measuring would cost more than it can save
_CLEARLY = 1.2  # how many times as fast as the usual precision another one must be
_ROUNDS = 3  # timed passes of each, after one that allocates and compiles


@dataclass(frozen=True)
class PassTimes:
    """Seconds of processor time that a pass forward and back takes."""

    float32: float
    bf16: float

    def choose(self, usual: Precision) -> Precision:
        """Return the usual precision, unless the other one is clearly faster.

        >>> PassTimes(1.0, 5.0).choose("bf16-mixed"), PassTimes(1.0, 0.9).choose("32-true")
        ('32-true', '32-true')
        """
        if usual == "bf16-mixed":
            return "32-true" if self.bf16 > _CLEARLY * self.float32 else usual
        return "bf16-mixed" if self.float32 > _CLEARLY * self.bf16 else usual


class _Kept(RootModel[dict[str, dict[str, float]]]):
    """What precision.json holds: processor and network → seconds of a pass."""


def choose_precision(
    settings: TrainingSettings,
    device: torch.device,
    steps: int,
    network: Network,
    shape: tuple[int, int, int, int],
    run: Path,
) -> Precision:
    """Return the precision of a training that begins; where it is `auto` on a CPU, by a measurement.

    What was measured is kept in the run's folder, so that all members of a run with the same network, batch and
    processor have the same precision. Nothing is measured where it could not pay: on a CPU that multiplies no bfloat16,
    for vectors and frozen backbones, and for trainings of a few steps; those have the precision that is usual for their
    kind of backbone.

    Args:
        settings: of the member.
        device: that trains it.
        steps: of the training.
        network: as it will be trained; it is left as it is.
        shape: (B, C, S, S) of a batch.
        run: the run's folder.

    Raises:
        UserError: the file of what was measured is damaged.
    """
    usual = training_precision(settings, device)
    small = settings.frozen or settings.takes_vectors or steps < _WORTH
    if settings.precision != "auto" or device.type != "cpu" or small or not processor_has_bf16():
        return usual
    described = f"{settings.backbone} {settings.width} {settings.pooling} {'×'.join(map(str, shape))}"
    key = f"{_describe_processor()}: {described}"
    path = run / KEPT
    with FileLock(path.with_suffix(".lock")):  # members side by side wait for the first one's measurement
        kept = read_model(path, _Kept, "remove it, and it is measured again").root if path.exists() else {}
        if kept.get(key, {}).keys() != {"float32", "bf16"}:
            kept[key] = asdict(time_passes(network, shape))
            write_json(path, kept)
    return PassTimes(**kept[key]).choose(usual)


def time_passes(network: Network, shape: tuple[int, int, int, int]) -> PassTimes:
    """Time passes of a network over noise (B, C, S, S), in turn: medians of this thread's processor time."""
    trained = copy.deepcopy(network).train()
    spent: dict[bool, list[float]] = {False: [], True: []}
    with torch.random.fork_rng(devices=[]):  # dropout draws, and must not move the training's own numbers
        noise = torch.randint(0, 256, shape, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
        for _ in range(_ROUNDS + 1):
            for half, seconds in spent.items():
                trained.zero_grad(set_to_none=True)
                began = time.thread_time()
                with torch.autocast("cpu", torch.bfloat16, enabled=half):
                    loss = trained.training_logits(noise).square().mean()
                loss.backward()  # type: ignore[no-untyped-call]
                seconds.append(time.thread_time() - began)
    float32, bf16 = (statistics.median(spent[half][1:]) for half in (False, True))
    return PassTimes(round(float32, 6), round(bf16, 6))


def _describe_processor() -> str:
    """Name the processor, the instructions that torch uses on it, and torch: what times depend on."""
    held = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    instructions = f"{torch.backends.cpu.get_cpu_capability()}{held and f' up to {held}'}"
    return f"{name_processor()}, {instructions}, torch {torch.__version__}"
