"""Measure a training step against eager PyTorch: channels-last float32, bfloat16, and what `precision: auto` takes.

    python benchmarks/training_step.py                          # this processor; about 5 minutes
    python benchmarks/training_step.py --isa avx2               # as on one without AVX-512

One thread, process CPU time, medians; the peer and ours take turns in processes of their own, since ours keep the
memory that they free. Images are noise: the arithmetic is the same. The peer is the same network with contiguous
weights and images in float32, and PyTorch's AdamW as it is made by default.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

os.environ.setdefault("OMP_NUM_THREADS", "1")

_ISA = {"avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}}
NODES, _TURNS = 28, 3
NETWORKS = (  # backbone, width, side in pixels, images a step
    ("small_cnn", 16, 64, 32),
    ("small_cnn", 32, 128, 32),
    ("resnet34", 32, 128, 32),
    ("tf_efficientnet_lite0", 32, 128, 32),
    ("mobilenetv4_conv_small", 32, 128, 32),
    ("convnext_atto", 32, 128, 32),
)


def time_steps(backbone: str, width: int, side: int, batch: int, ways: Sequence[str]) -> dict[str, float]:
    """Return the seconds of processor time of a step in each way, in this process."""
    import numpy as np
    import torch

    from hpa_hier.members.process import keep_freed_memory
    from hpa_hier.models.backbones.create import build_backbone
    from hpa_hier.models.heads.head import Flat
    from hpa_hier.models.losses.elementwise import bce
    from hpa_hier.models.network import Network, Normalise
    from hpa_hier.settings.training import TrainingSettings

    torch.set_num_threads(1)
    if "eager" not in ways:
        keep_freed_memory()  # as our trainings do

    def make(way: str) -> Callable[[], None]:
        torch.manual_seed(0)
        built = build_backbone(TrainingSettings(backbone=backbone, width=width), ("r", "g", "b", "y"), side)
        head = Flat(built.features, np.full(NODES, 0.1), 0.1)
        network = Network(built.module, head, Normalise(np.full(4, 127.0), np.full(4, 74.0))).train()
        images = torch.randint(0, 256, (batch, 4, side, side), dtype=torch.uint8)
        if way != "eager":
            network = network.to(memory_format=torch.channels_last)
            images = images.contiguous(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(network.parameters(), **({} if way == "eager" else {"fused": True}))
        gain, known = torch.ones(batch, 4), torch.ones(batch, NODES)
        present = (torch.rand(batch, NODES) < 0.1).float()

        def step() -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=way == "bf16"):
                logits = network.training_logits(images, gain)
                loss = bce(logits, present, known)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

        return step

    steps, spent = {way: make(way) for way in ways}, dict[str, list[float]]()
    for turn in range(_TURNS + 1):
        for way, step in steps.items():
            done, began = 0, time.process_time()
            while done < 2 or time.process_time() - began < 0.25:
                step()
                done += 1
            if turn:  # the first turn allocates, and compiles kernels
                spent.setdefault(way, []).append((time.process_time() - began) / done)
    return {way: statistics.median(seconds) for way, seconds in spent.items()}


def measure_steps(rounds: int, chosen: list[str]) -> None:
    """Print a row for each network: images a second of eager steps, and the ratios of ours, each in its own process."""
    print("| network | side | batch | eager, images/s | float32, × | bf16, × |\n|" + " --- |" * 6)
    for network in NETWORKS:
        if chosen and network[0] not in chosen:
            continue
        turns = []
        for _ in range(rounds):
            found: dict[str, float] = {}
            for ways in ("eager", "float32,bf16"):
                words = [sys.executable, __file__, "one", *map(str, network), ways]
                found |= json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])
            turns.append(found)
        backbone, width, side, batch = network
        ratios = [statistics.median(turn["eager"] / turn[way] for turn in turns) for way in ("float32", "bf16")]
        pace = batch / statistics.median(turn["eager"] for turn in turns)
        cells = [f"{backbone} {width}" if backbone == "small_cnn" else backbone, side, batch, f"{pace:.0f}"]
        print("| " + " | ".join(map(str, [*cells, *(f"{ratio:.2f}" for ratio in ratios)])) + " |", flush=True)


def main() -> None:
    """Measure; `one` times one network in this process, and is what a measurement starts."""
    if sys.argv[1:2] == ["one"]:
        backbone, width, side, batch, ways = sys.argv[2:]
        print(json.dumps(time_steps(backbone, int(width), int(side), int(batch), ways.split(","))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--isa", choices=tuple(_ISA), help="instructions that a processor would have")
    parser.add_argument("--networks", nargs="*", default=[], metavar="NAME", help="backbones (default: all)")
    flags = parser.parse_args()
    os.environ.update(_ISA.get(flags.isa, {}))
    measure_steps(flags.rounds, flags.networks)


if __name__ == "__main__":
    main()
