"""Measure a training step against eager PyTorch: channels-last float32, bfloat16, and what `precision: auto` takes.

    python benchmarks/training_step.py                          # this processor; about 3 minutes
    python benchmarks/training_step.py --isa avx2               # as on one without AVX-512

One thread, process CPU time, interleaved, medians. Images are noise: the arithmetic is the same. The peer is the same
network with contiguous weights and images in float32, and PyTorch's AdamW as it is made by default.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

_ISA = {"avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}}
NODES = 28
NETWORKS = (  # backbone, width, side in pixels, images a step
    ("small_cnn", 16, 64, 32),
    ("small_cnn", 32, 128, 32),
    ("resnet34", 32, 128, 32),
    ("tf_efficientnet_lite0", 32, 128, 32),
    ("mobilenetv4_conv_small", 32, 128, 32),
    ("convnext_atto", 32, 128, 32),
)


def measure_steps(rounds: int, chosen: list[str]) -> None:
    """Print a row for each network: images a second of eager steps, and the ratios of ours."""
    import numpy as np
    import torch

    from hpa_hier.models.backbones.create import build_backbone
    from hpa_hier.models.heads.head import Flat
    from hpa_hier.models.losses.elementwise import bce
    from hpa_hier.models.network import Network, Normalise
    from hpa_hier.settings.training import TrainingSettings

    torch.set_num_threads(1)

    def make(backbone: str, width: int, side: int, batch: int, way: str) -> Callable[[], None]:
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

    print(f"{torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}, one thread")
    print("| network | side | batch | eager, images/s | float32, × | bf16, × |\n| --- | --- | --- | --- | --- | --- |")
    for backbone, width, side, batch in NETWORKS:
        if chosen and backbone not in chosen:
            continue
        ways = {way: make(backbone, width, side, batch, way) for way in ("eager", "float32", "bf16")}
        spent: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(rounds + 1):
            for way, step in ways.items():
                steps = 0
                began = time.process_time()
                while steps < 2 or time.process_time() - began < 0.25:
                    step()
                    steps += 1
                if turn:  # the first turn allocates, and compiles kernels
                    spent[way].append((time.process_time() - began) / steps)
        eager = statistics.median(spent["eager"])
        ratios = [
            statistics.median(a / b for a, b in zip(spent["eager"], spent[way], strict=True))
            for way in ("float32", "bf16")
        ]
        cells = [f"{backbone} {width}" if backbone == "small_cnn" else backbone, side, batch, f"{batch / eager:.0f}"]
        print("| " + " | ".join(map(str, [*cells, *(f"{ratio:.2f}" for ratio in ratios)])) + " |", flush=True)


def main() -> None:
    """Measure, in a child process where instructions are held back."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--isa", choices=tuple(_ISA), help="instructions that a processor would have")
    parser.add_argument("--networks", nargs="*", default=[], metavar="NAME", help="backbones (default: all)")
    flags = parser.parse_args()
    if flags.isa and not all(os.environ.get(name) == value for name, value in _ISA[flags.isa].items()):
        sys.exit(subprocess.run([sys.executable, *sys.argv], env=os.environ | _ISA[flags.isa], check=False).returncode)
    measure_steps(flags.rounds, flags.networks)


if __name__ == "__main__":
    main()
