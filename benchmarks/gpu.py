"""What a GPU makes of training and predicting: images a second, beside the same step on images that are there already.

    python benchmarks/gpu.py [--backbones resnet34 convnext_tiny] [--out FILE.md]
    python benchmarks/gpu.py --dry-run-on-cpu

A training as configs/gpu.yaml asks for it, on noise of four channels, runs under the trainer with everything that it
does beside computing: reading, varying, averaging, schedules. It is timed beside a bare loop of the same compiled step
on one batch that stays on the device; the two take turns, and the share is what the data path and the trainer leave
of the bare loop's rate. Rows are added one setting at a time, from eager float32 to all. Predicting is a member's own
pass, from 8-bit images in memory to logits in memory. Costs some ten minutes, most of it compiling; needs one CUDA
device, and says so where there is none. The table goes to standard output, and to FILE.

--dry-run-on-cpu walks every path with tiny networks and images, without compiling to machine code; its rates mean
nothing, and no table is written.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import lightning.pytorch as pl
import numpy as np
import torch

from hpa_hier.files.atomic import write_text
from hpa_hier.members.networks import add_head
from hpa_hier.members.score import prepare_for_scoring, score
from hpa_hier.models.augment.warp import augment_batch
from hpa_hier.models.backbones.create import build_backbone
from hpa_hier.models.heads.ancestry import Ancestry
from hpa_hier.models.heads.build import HeadData
from hpa_hier.models.losses.elementwise import bce
from hpa_hier.models.network import Normalise
from hpa_hier.runs.run import Part
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.settings.training import TrainingSettings
from hpa_hier.training.batches.images import Augmentation, AugmentedImages
from hpa_hier.training.batches.on_device import DeviceImages, keeps_on_device
from hpa_hier.training.batches.order import Batch, PartBatches, PartReader, TrainingBatches
from hpa_hier.training.loop.averaging import MovingAverage
from hpa_hier.training.loop.module import Length, Training
from hpa_hier.training.loop.step import make_step
from hpa_hier.training.loop.trainer import make_trainer, silence_lightning, training_precision

CHANNELS, NODES = ("red", "green", "blue", "yellow"), 28
_LONG = 1_000_000  # steps of a training that is stopped before
NOTHING = 2  # exit status where there is nothing to measure on
HEAD = (
    "| backbone | setting | training, images/s | same step, synthetic | share | predicting, images/s | memory, GiB |\n"
    "| --- | --- | --- | --- | --- | --- | --- |\n"
)
# Each row has what those before it have; the last is configs/gpu.yaml.
ROWS: dict[str, dict[str, object]] = {
    "float32, contiguous, images read from the pack": {
        **{"precision": "32-true", "channels_last": False, "keep_on_device": "never"},
        **{"compile": "never", "cuda_graphs": False},
    },
    "+ channels last": {"channels_last": True},
    "+ half precision": {"precision": "auto"},
    "+ images on the device": {"keep_on_device": "always"},
    "+ compiled": {"compile": "on_gpu"},
    "+ CUDA graphs": {"cuda_graphs": True},
}


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    device: torch.device
    images: int
    size: int  # pixels
    steps: int  # timed, of a round
    warm: int  # steps before, which compile and allocate
    rounds: int
    batch_size: int | None = None  # None: the recipe's
    backend: str = "inductor"  # of torch.compile


@dataclass(frozen=True)
class Noise:
    """Images in memory that answer as a pack does."""

    array: np.ndarray  # (B, C, S, S) uint8
    size: int
    channels: tuple[str, ...] = CHANNELS

    def images(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Read (B, C, S, S) uint8."""
        return np.take(self.array, rows, axis=0, out=out)


class Clock(pl.Callback):
    """Puts the batches at the first step, and times the steps after those that warm up."""

    def __init__(self, scale: Scale) -> None:
        self._scale, self.seconds, self._began = scale, 0.0, 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seek."""
        trainer.train_dataloader.seek(0)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        """Start the clock after the steps that warm up, and stop it after the timed ones."""
        done = trainer.global_step
        if done == self._scale.warm:
            wait(self._scale.device)
            self._began = time.perf_counter()
        elif done == self._scale.warm + self._scale.steps:
            wait(self._scale.device)
            self.seconds = time.perf_counter() - self._began
            trainer.should_stop = True


@dataclass(frozen=True)
class Case:
    """One network under one row of settings."""

    settings: TrainingSettings
    scale: Scale
    pack: Noise

    def make(self) -> tuple[Training, TrainingBatches, PartBatches]:
        """Make a training with its batches."""
        scale, pack, settings = self.scale, self.pack, self.settings
        generator = np.random.default_rng(0)
        present = generator.random((scale.images, NODES)) < 0.1
        part = Part(np.arange(scale.images), present, np.ones_like(present))
        kept = keeps_on_device(settings, pack, len(part), scale.device)
        augmentation = Augmentation(settings, 0, on_device=kept or scale.device.type == "cuda")
        reader = (
            DeviceImages(pack, part, augmentation, scale.device) if kept else AugmentedImages(pack, part, augmentation)
        )
        batches = TrainingBatches(reader, np.ones(scale.images, int), settings, 0)
        torch.manual_seed(0)
        backbone = build_backbone(settings, CHANNELS, pack.size, start=True)
        data = HeadData(Ancestry(((),) * NODES), np.full(NODES, 0.1))
        network = add_head(settings, backbone, data, Normalise(np.full(4, 127.0), np.full(4, 74.0)))
        if settings.channels_last:
            network = network.to(memory_format=torch.channels_last)
        few = Part(part.rows[:2], part.present[:2], part.known[:2])
        module = Training(network, bce, settings, Length(_LONG, len(batches)), few, 0)
        return module, batches, PartBatches(PartReader(pack.images, few), 2)

    def train(self) -> float:
        """Return the images a second of a training under the trainer."""
        module, batches, watched = self.make()
        clock = Clock(self.scale)
        average = [MovingAverage(self.settings.ema)] if self.settings.ema else []
        epochs = -(-(self.scale.warm + self.scale.steps) // len(batches))
        trainer = make_trainer(self.settings, self.scale.device, epochs, [*average, clock])
        with patch("hpa_hier.training.loop.module.make_step", self._step):
            trainer.fit(module, batches, watched)
        return self.scale.steps * batches.batch_size / clock.seconds

    def synthetic(self) -> float:
        """Return the images a second of the same step in a bare loop, on one batch that stays on the device."""
        device = self.scale.device
        module, batches, _ = self.make()
        network = module.network.to(device).train()
        optimizer = module.configure_optimizers()["optimizer"]
        batch, step = to_device(next(iter(batches)), device), self._step(self.settings, device, _LONG)
        half = training_precision(self.settings, device)
        kind = torch.bfloat16 if half == "bf16-mixed" else torch.float16
        scaler = torch.amp.GradScaler(device.type, enabled=half == "16-mixed")
        samples = augment_batch(batch.samples, batch.draws, batch.side)
        samples = samples if self.settings.channels_last else samples.contiguous()
        began = 0.0
        for number in range(self.scale.warm + self.scale.steps):
            if number == self.scale.warm:
                wait(device)
                began = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, kind, enabled=half != "32-true"):
                loss, _ = step(network, bce, samples, batch.draws.gain, batch.present, batch.known, False)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        wait(device)
        return self.scale.steps * batches.batch_size / (time.perf_counter() - began)

    def predict(self) -> float:
        """Return the images a second of a member's pass, from memory to memory."""
        network = prepare_for_scoring(self.make()[0].network, self.scale.device)
        images = self.pack.array[: min(len(self.pack.array), 32 * self.scale.steps)]
        score(network, images[:32], NODES, self.scale.device)
        began = time.perf_counter()
        score(network, images, NODES, self.scale.device)
        return len(images) / (time.perf_counter() - began)

    def _step(self, settings: TrainingSettings, device: torch.device, steps: int):
        return make_step(settings, device, steps, self.scale.backend)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return a batch on a device."""
    draws = type(batch.draws)(*(None if values is None else values.to(device) for values in batch.draws))
    return Batch(batch.samples.to(device), draws, batch.present.to(device), batch.known.to(device), batch.side)


def wait(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(case: Case) -> tuple[float, float, float, float]:
    """Return the rates of training, of the synthetic step and of predicting, and the most memory in GiB."""
    cuda = case.scale.device.type == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(case.scale.device)
    ways: tuple[Callable[[], float], ...] = (case.train, case.synthetic)
    rounds = [[way() for way in ways] for _ in range(case.scale.rounds)]
    trained, bare = (statistics.median(column) for column in zip(*rounds, strict=True))
    most = torch.cuda.max_memory_allocated(case.scale.device) / 2**30 if cuda else 0.0
    return trained, bare, case.predict(), most


def tabulate(backbones: Sequence[str], base: TrainingSettings, scale: Scale) -> str:
    """Measure every row of every backbone, and return them as a table."""
    shape = (scale.images, len(CHANNELS), scale.size, scale.size)
    pack = Noise(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8), scale.size)
    lines = []
    for backbone in backbones:
        changes: dict[str, object] = {"backbone": backbone}
        if scale.batch_size:
            changes["batch_size"] = scale.batch_size
        for name, row in ROWS.items():
            changes |= row
            if scale.device.type == "cpu" and "compile" in row and row["compile"] != "never":
                changes["compile"] = "always"
            settings = TrainingSettings.model_validate({**base.model_dump(), **changes})
            print(f"{backbone}: {name}", file=sys.stderr, flush=True)
            trained, bare, predicted, most = measure(Case(settings, scale, pack))
            figures = f"{trained:,.0f} | {bare:,.0f} | {trained / bare:.2f} | {predicted:,.0f} | {most:.1f}"
            lines.append(f"| {backbone} | {name} | {figures} |\n")
    return HEAD + "".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=["resnet34", "convnext_tiny"], metavar="NAME")
    parser.add_argument("--size", type=int, default=256, help="side of the images in pixels (default: 256)")
    parser.add_argument("--images", type=int, default=8192, help="images of the training part (default: 8192)")
    parser.add_argument("--steps", type=int, default=100, help="timed steps of a round (default: 100)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median counts (default: 3)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the table there")
    parser.add_argument("--dry-run-on-cpu", action="store_true", help="walk every path, small, without a GPU")
    options = parser.parse_args(arguments)
    silence_lightning()
    base = load_recipe("gpu").training
    if options.dry_run_on_cpu:
        torch.set_num_threads(1)
        scale = Scale(torch.device("cpu"), 8, 32, 1, 1, 1, batch_size=2, backend="eager")
        print(tabulate(["small_cnn"], base.model_copy(update={"width": 4}), scale), end="")
        print("dry run on a CPU: every path was walked, and these rates mean nothing")
        return 0
    if not torch.cuda.is_available():
        print("no CUDA device here, so nothing was measured; --dry-run-on-cpu walks every path", file=sys.stderr)
        return NOTHING
    scale = Scale(torch.device("cuda", 0), options.images, options.size, options.steps, 20, options.rounds)
    name, memory = torch.cuda.get_device_name(0), torch.cuda.get_device_properties(0).total_memory / 2**30
    table = f"{name}, {memory:.0f} GiB, torch {torch.__version__}, {options.size}², four channels, batches of "
    table += f"{base.batch_size}, medians of {options.rounds} rounds of {options.steps} steps\n\n"
    table += tabulate(options.backbones, base, scale)
    print(table, end="")
    if options.out:
        write_text(options.out, table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
