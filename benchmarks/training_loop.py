"""Measure what the trainer library's loop costs, and how long it waits for batches.

    python benchmarks/training_loop.py [--rounds 3] [--width 32 --size 128]

One thread, process CPU time, interleaved, medians; waiting is a share of the wall clock, and wants a core to spare.
Images are noise: the arithmetic is the same.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")

import lightning.pytorch as pl
import numpy as np
import torch

from hpa_hier.models.backbones.small_cnn import SmallCnn
from hpa_hier.models.heads.head import Flat
from hpa_hier.models.losses.elementwise import bce
from hpa_hier.models.network import Network, Normalise
from hpa_hier.models.precision import precision_for
from hpa_hier.runs.run import Part
from hpa_hier.settings.training import TrainingSettings
from hpa_hier.training.batches.images import Augmentation, AugmentedImages
from hpa_hier.training.batches.order import Batch, PartBatches, PartReader, TrainingBatches
from hpa_hier.training.loop.module import Length, Training
from hpa_hier.training.loop.trainer import make_trainer, silence_lightning

NODES, BATCH, EPOCHS = 28, 64, 2


@dataclass(frozen=True)
class Noise:
    """Images in memory that answer as a pack does."""

    array: np.ndarray
    channels: tuple[str, ...] = ("red", "green", "blue", "yellow")
    size: int = 64

    def images(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Read (B, C, S, S) uint8."""
        return np.take(self.array, rows, axis=0, out=out)


class Timed(TrainingBatches):
    """Batches that note how long their training waits for them."""

    waited = 0.0  # seconds

    def __iter__(self) -> Iterator[Batch]:
        """Yield an epoch's batches."""
        batches = super().__iter__()
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - began
            if batch is None:
                return
            yield batch


class Seek(pl.Callback):
    """Puts the batches at the first step, as the training's own callback does."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seek."""
        trainer.train_dataloader.seek(0)


def make_training(width: int, size: int, images: int) -> tuple[TrainingSettings, Timed, Training, PartBatches]:
    """Make a training with its batches."""
    generator = np.random.default_rng(0)
    pack = Noise(generator.integers(0, 256, (images, 4, size, size), dtype=np.uint8), size=size)
    part = Part(np.arange(images), generator.random((images, NODES)) < 0.1, np.ones((images, NODES), bool))
    settings = TrainingSettings(width=width, batch_size=BATCH)
    reader = AugmentedImages(pack, part, Augmentation(settings, 0))
    batches = Timed(reader, np.ones(images, int), settings, 0)
    torch.manual_seed(0)
    backbone = SmallCnn(4, width)
    network = Network(
        backbone, Flat(backbone.num_features, np.full(NODES, 0.1), 0.1), Normalise(np.full(4, 127.0), np.full(4, 74.0))
    )
    network = network.to(memory_format=torch.channels_last)
    few = Part(part.rows[:64], part.present[:64], part.known[:64])
    module = Training(network, bce, settings, Length(EPOCHS * len(batches), len(batches)), few, 0)
    return settings, batches, module, PartBatches(PartReader(pack.images, few), 64)


def library(width: int, size: int, images: int, *, ahead: bool) -> tuple[float, float]:
    """Return the seconds of two epochs under the trainer library, and the share of them that waits for batches."""
    settings, batches, module, watched = make_training(width, size, images)
    batches.reader.slow = ahead
    trainer = make_trainer(settings, torch.device("cpu"), EPOCHS, [Seek()])
    start, began = time.process_time(), time.perf_counter()
    trainer.fit(module, batches, watched)
    return time.process_time() - start, batches.waited / (time.perf_counter() - began)


def bare(width: int, size: int, images: int) -> float:
    """Return the seconds of the same steps in a bare loop."""
    _, batches, module, _ = make_training(width, size, images)
    autocast = precision_for(torch.device("cpu"), "small_cnn") == "bf16-mixed"
    network = module.network.train()
    made_optimizer = module.configure_optimizers()
    optimizer, course = made_optimizer["optimizer"], made_optimizer["lr_scheduler"]["scheduler"]
    start = time.process_time()
    for _ in range(EPOCHS):
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                logits = network.training_logits(batch.samples, batch.draws.gain)
            loss = bce(logits, batch.present, batch.known)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            course.step()
    return time.process_time() - start


def main() -> None:
    """Time all by turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", type=int, default=16, help="of small_cnn")
    parser.add_argument("--size", type=int, default=64, help="pixels, side of the images")
    parser.add_argument("--images", type=int, default=1408, help="of an epoch")
    flags = parser.parse_args()
    kind = (flags.width, flags.size, flags.images)
    silence_lightning()
    torch.set_num_threads(1)
    library(*kind, ahead=True), bare(*kind)
    turns = [(library(*kind, ahead=True), library(*kind, ahead=False), bare(*kind)) for _ in range(flags.rounds)]
    ahead, plain = (np.median([turn[way] for turn in turns], axis=0) for way in (0, 1))
    floor, count = statistics.median(turn[2] for turn in turns), EPOCHS * flags.images
    print(f"trainer library {count / ahead[0]:,.0f} images/s, bare loop {count / floor:,.0f} images/s")
    print(f"ratio {floor / ahead[0]:.3f} (1: the library costs nothing)")
    print(f"waiting for batches: {ahead[1]:.1%} of the time; {plain[1]:.1%} where none is made ahead")


if __name__ == "__main__":
    main()
