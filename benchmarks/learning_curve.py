"""Measure macro F1 on simulated cells against the number of simulated images trained on.

    python benchmarks/learning_curve.py [--counts 250,500,1000,2000,4000,8000] [--size 64] [--passes 8] [--least 300]

Trains the demo's coarse and leaf members on the first N images of one draw with the real table's class counts, for the
same number of passes, but at least `least` steps of 64 images, which the small sets need to learn at all. Tests them on
the same 1,500 images of another draw. Thresholds come from 750 further images. Macro F1 leaves out classes that the
test images lack. One core, some minutes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from hpa_hier.cli.command import one_thread_a_process, run
from hpa_hier.files.atomic import write_text
from hpa_hier.metrics import scores as metrics

HELD_OUT, FITTED = 1500, 750  # images to test on, and to fit thresholds on
LEVELS = ("coarse", "leaf")


def best_thresholds(scores: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Return for each column the score that maximises F1, (n,); infinite for a column without positives.

    Args:
        scores: (B, n).
        present: (B, n) bool.

    >>> best_thresholds(np.array([[0.1], [0.4], [0.9]]), np.array([[False], [True], [True]]))
    array([0.4])
    """
    order = np.argsort(-scores, axis=0, kind="stable")
    hits = np.cumsum(np.take_along_axis(present, order, axis=0), axis=0)
    f1 = 2 * hits / (np.arange(1, len(scores) + 1)[:, None] + present.sum(axis=0))
    best = np.take_along_axis(np.take_along_axis(scores, order, axis=0), f1.argmax(axis=0)[None], axis=0)[0]
    return np.where(present.any(axis=0), best, np.inf)


def macro_f1(answered: np.ndarray, present: np.ndarray) -> float:
    """Return the mean F1 over the columns that occur in `present`; both (B, n) bool."""
    return float(metrics.macro_f1(metrics.count(answered, present, np.ones_like(present))))


def train(images: np.ndarray, present: np.ndarray, steps: int, seed: int, batch_size: int = 64, **settings: Any):
    """Train a network on (B, C, S, S) uint8 images for `steps` steps; return it ready to score.

    `settings` are those of its backbone and first weights, as `weights`; without any it is the demo's.
    """
    import torch

    from hpa_hier.data.images.channels import CHANNELS
    from hpa_hier.models.augment.warp import draw, to_tensor, warp
    from hpa_hier.models.backbones.create import SMALL_CNN, build_backbone
    from hpa_hier.models.heads.head import Flat
    from hpa_hier.models.losses.elementwise import bce
    from hpa_hier.models.network import Network, Normalise
    from hpa_hier.settings.training import AugmentSettings, TrainingSettings
    from hpa_hier.training.loop.schedule import lr_schedule

    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    given, side = TrainingSettings(**{"width": 16, **settings}), images.shape[-1]
    backbone = build_backbone(given, CHANNELS, side)
    mean, std = images.mean(axis=(0, 2, 3)), images.std(axis=(0, 2, 3))
    network = Network(backbone.module, Flat(backbone.features, present.mean(axis=0), 0.1), Normalise(mean, std))
    network = network.to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.003, weight_decay=0.01)
    schedule = lr_schedule(optimiser, "one_cycle", steps)
    assert schedule is not None
    order = np.concatenate([rng.permutation(len(images)) for _ in range(-(-steps * batch_size // len(images)))])
    for step in range(steps):
        rows = order[step * batch_size : (step + 1) * batch_size]
        draws, warped = (
            draw(AugmentSettings(), len(rows), CHANNELS, rng),
            np.empty((len(rows), side, side, 4), np.uint8),
        )
        warp(images[rows], draws, warped)
        batch = to_tensor(warped)
        targets = torch.from_numpy(present[rows].astype(np.float32))
        with torch.autocast("cpu", torch.bfloat16, enabled=given.backbone == SMALL_CNN):
            logits = network.training_logits(batch, draws.gain)
        loss = bce(logits.float(), targets, torch.ones_like(targets))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval()


def score(network, images: np.ndarray) -> np.ndarray:
    """Return (B, n) logits of (B, C, S, S) uint8 images."""
    import torch

    with torch.inference_mode():
        parts = [network(torch.from_numpy(images[i : i + 256])).numpy() for i in range(0, len(images), 256)]
    return np.concatenate(parts)


def simulate(count: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Simulate images with the real class counts: (B, 4, S, S) uint8, and (B, N) bool as the taxonomy's nodes."""
    from hpa_hier.data.labels.table import targets
    from hpa_hier.simulate.field import simulate_field
    from hpa_hier.simulate.labelsets import LEAVES, draw_samples
    from hpa_hier.taxonomy import Taxonomy

    samples = draw_samples(count, seed)
    nodes = [tuple(LEAVES[label] for label in sample.labels) for sample in samples]
    present = targets(nodes, Taxonomy.load("hierarchy/hpa28.yaml")).present
    fields = [
        simulate_field(seed, index, size, sample.labels, antibody=sample.antibody)
        for index, sample in enumerate(samples)
    ]
    return np.stack([field.image for field in fields]).astype(np.uint8), present


def main(arguments: list[str]) -> int:
    """Simulate, train, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="250,500,1000,2000,4000,8000")
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--passes", type=int, default=8, help="of each training over its images")
    parser.add_argument("--least", type=int, default=300, help="steps of each training, 64 images each, at least")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    one_thread_a_process()
    import torch

    torch.set_num_threads(1)
    from hpa_hier.taxonomy import Taxonomy

    taxonomy = Taxonomy.load("hierarchy/hpa28.yaml")
    counts = [int(count) for count in options.counts.split(",")]
    pool, pool_present = simulate(max(counts), options.size, options.seed)
    held, held_present = simulate(HELD_OUT + FITTED, options.size, options.seed + 1)
    lines = [
        "| simulated images | steps | " + " | ".join(f"{level} macro F1" for level in LEVELS) + " |",
        "|" + " --- |" * 4,
    ]
    for count in counts:
        values = []
        steps = max(options.least, options.passes * count // 64)
        for level in LEVELS:
            columns = [taxonomy.column[node] for node in taxonomy.level(level)]
            network = train(pool[:count], pool_present[:count][:, columns], steps, options.seed)
            scores, present = score(network, held), held_present[:, columns]
            limits = best_thresholds(scores[:FITTED], present[:FITTED])
            values.append(macro_f1(scores[FITTED:] >= limits, present[FITTED:]))
        lines.append(f"| {count:,} | {steps:,} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
        print(lines[-1], flush=True)
    text = "\n".join(lines)
    print(text)
    if options.markdown:
        write_text(options.markdown, text + "\n")
    return 0


if __name__ == "__main__":
    run(main)
