"""Measure what the trainer library's loop costs: time it against the bare steps on the same batches.

    python benchmarks/training_loop.py [--rounds 3]

One thread, process CPU time, interleaved, medians. Images are noise: the arithmetic is the same.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
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
from hpa_hier.training.batches.order import PartBatches, PartReader, TrainingBatches
from hpa_hier.training.loop.module import Length, Training
from hpa_hier.training.loop.trainer import make_trainer, silence_lightning

IMAGES, SIZE, NODES, BATCH = 2816, 64, 28, 64


@dataclass(frozen=True)
class Noise:
    """Images in memory that answer as a pack does."""

    array: np.ndarray
    channels: tuple[str, ...] = ("red", "green", "blue", "yellow")
    size: int = SIZE

    def images(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Read (B, C, S, S) uint8."""
        return np.take(self.array, rows, axis=0, out=out)


class Seek(pl.Callback):
    """Puts the batches at the first step, as the training's own callback does."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seek."""
        trainer.train_dataloader.seek(0)


def make_training() -> tuple[TrainingSettings, TrainingBatches, Training, PartBatches]:
    """Make a training with its batches."""
    generator = np.random.default_rng(0)
    pack = Noise(generator.integers(0, 256, (IMAGES, 4, SIZE, SIZE), dtype=np.uint8))
    part = Part(np.arange(IMAGES), generator.random((IMAGES, NODES)) < 0.1, np.ones((IMAGES, NODES), bool))
    settings = TrainingSettings(width=16, batch_size=BATCH)
    reader = AugmentedImages(pack, part, Augmentation(settings, 0))
    batches = TrainingBatches(reader, np.ones(IMAGES, int), settings, 0)
    torch.manual_seed(0)
    backbone = SmallCnn(4, 16)
    network = Network(
        backbone, Flat(backbone.num_features, np.full(NODES, 0.1), 0.1), Normalise(np.full(4, 127.0), np.full(4, 74.0))
    )
    network = network.to(memory_format=torch.channels_last)
    few = Part(part.rows[:64], part.present[:64], part.known[:64])
    module = Training(network, bce, settings, Length(2 * len(batches), len(batches)), few, 0)
    return settings, batches, module, PartBatches(PartReader(pack.images, few), 64)


def library() -> float:
    """Return the seconds of two epochs under the trainer library."""
    settings, batches, module, watched = make_training()
    trainer = make_trainer(settings, torch.device("cpu"), 2, [Seek()])
    start = time.process_time()
    trainer.fit(module, batches, watched)
    return time.process_time() - start


def bare() -> float:
    """Return the seconds of the same steps in a bare loop."""
    _, batches, module, _ = make_training()
    autocast = precision_for(torch.device("cpu"), "small_cnn") == "bf16-mixed"
    network = module.network.train()
    made_optimizer = module.configure_optimizers()
    optimizer, course = made_optimizer["optimizer"], made_optimizer["lr_scheduler"]["scheduler"]
    start = time.process_time()
    for _ in range(2):
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
    """Time both by turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    silence_lightning()
    torch.set_num_threads(1)
    library(), bare()
    seconds = [(library(), bare()) for _ in range(rounds)]
    ours, floor = (statistics.median(column) for column in zip(*seconds, strict=True))
    count = 2 * IMAGES
    print(f"trainer library {count / ours:,.0f} images/s, bare loop {count / floor:,.0f} images/s")
    print(f"ratio {floor / ours:.3f} (1: the library costs nothing)")


if __name__ == "__main__":
    main()
