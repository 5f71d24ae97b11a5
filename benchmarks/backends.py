"""Engines beside each other: how long each takes for a network, and which labels it changes.

    python benchmarks/backends.py [--networks NAMES] [--rounds N] [--isa all|avx2] [--images DIR]
        [--give-back]

For each network: processor time an image of each engine, one thread, in turns, median of the rounds; its ratio to
PyTorch's; the largest difference from PyTorch's logits as a share of the largest. `coarse` and `leaf` are the bundled
ensemble's, of 192 pixels; other names are timm's or small_cnn, with random weights, of 128 pixels.

--isa avx2 runs it in a child process in which PyTorch and OpenVINO may use no more than AVX2, as on processors without
AVX-512; ONNX Runtime has no such setting, so its figure there is that of this processor.
With --images, also how many labels of the bundled ensemble each engine changes, image by image.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from hpa_hier.data.images.channels import CHANNELS
from hpa_hier.files.shipped import pretrained_folder
from hpa_hier.members.engines.convert import convert_onnx
from hpa_hier.members.engines.sessions import RUNTIMES, open_session
from hpa_hier.members.networks import add_head
from hpa_hier.members.process import prepare_process
from hpa_hier.members.score import COMPUTE_BATCH, Member, prepare_for_scoring, score
from hpa_hier.models.backbones.create import build_backbone
from hpa_hier.models.heads.ancestry import Ancestry
from hpa_hier.models.heads.build import HeadData
from hpa_hier.models.heads.head import Head
from hpa_hier.models.network import Normalise
from hpa_hier.settings.training import TrainingSettings

_SIZE, _AT_ONCE = 128, 4
_AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


def load(name: str) -> tuple[Head, int]:
    """Return a network and the side of its images."""
    run = pretrained_folder()
    if run is not None and (run / "members" / name).is_dir():
        member = Member.load(run / "members" / name, "cpu")
        assert isinstance(member.network, Head)
        return member.network, member.size
    torch.manual_seed(0)
    settings = TrainingSettings(backbone=name)
    backbone = build_backbone(settings, CHANNELS, _SIZE, start=False)
    data = HeadData(Ancestry(((),) * 28), np.full(28, 0.1))
    network = add_head(settings, backbone, data, Normalise(np.full(4, 30.0), np.full(4, 50.0)))
    return prepare_for_scoring(network, torch.device("cpu")), _SIZE


def measure(name: str, rounds: int) -> None:
    """Print the figures of one network."""
    network, side = load(name)
    images = np.random.default_rng(0).integers(0, 256, (COMPUTE_BATCH, 4, side, side), dtype=np.uint8)
    with torch.inference_mode():
        columns = network(torch.from_numpy(images[:1])).shape[1]
    onnx = convert_onnx(network, images.shape[1:])

    def in_bf16() -> np.ndarray:
        with torch.autocast("cpu", torch.bfloat16):
            return score(lambda samples: network(samples).float(), images, columns, torch.device("cpu"))

    ways: dict[str, Callable[[], np.ndarray]] = {
        "torch": lambda: score(network, images, columns, torch.device("cpu")),
        "torch, bf16 autocast": in_bf16,
    }
    for engine in RUNTIMES:
        if engine == "openvino-bf16" and _AVX2.items() <= os.environ.items():
            continue  # such a processor has no bfloat16, and OpenVINO refuses it
        session = open_session(engine, onnx, (_AT_ONCE, *images.shape[1:]), 1)
        parts = [images[start : start + _AT_ONCE] for start in range(0, len(images), _AT_ONCE)]
        ways[engine] = lambda session=session, parts=parts: np.concatenate([session(part) for part in parts])
    wanted = ways["torch"]()
    away = {way: float(np.abs(run() - wanted).max() / np.abs(wanted).max()) for way, run in ways.items()}
    took: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            began = time.process_time()
            run()
            took[way].append((time.process_time() - began) / len(images) * 1000)
    for way, some in took.items():
        ratio = median(took["torch"]) / median(some)
        print(f"{name:24} {way:22} {median(some):7.2f} ms {ratio:6.2f}×   away {away[way]:.1e}", flush=True)


def count_labels(images: Path) -> None:
    """Print how many labels of the bundled ensemble each engine changes."""
    from hpa_hier.predict.predictor import Predictor

    found: dict[str, np.ndarray] = {}
    for engine in ("torch", *RUNTIMES):
        predictor = Predictor.load("pretrained", engine=engine)
        parts = [answers.present for answers in predictor.stream(predictor.open_images(images, threads=1))]
        found[engine] = np.concatenate(parts)
    wanted = found.pop("torch")
    for engine, present in found.items():
        other = present != wanted
        print(
            f"labels: {engine:14} {int(other.sum())} of {int(wanted.sum())} present ones differ, in "
            f"{int(other.any(axis=1).sum())} of {len(wanted)} images"
        )


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = "coarse,leaf,resnet18,convnext_atto,mobilenetv4_conv_small"
    parser.add_argument("--networks", default=names, metavar="NAMES", help=f"(default: {names})")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="(default: 3)")
    parser.add_argument("--isa", choices=("all", "avx2"), default="all", help="(default: all)")
    parser.add_argument("--images", type=Path, metavar="DIR")
    text = "give freed memory back to the system after each pass, as a process does that is not prepared"
    parser.add_argument("--give-back", action="store_true", help=text)
    options = parser.parse_args()
    if options.isa == "avx2" and not _AVX2.items() <= os.environ.items():
        sys.exit(subprocess.run([sys.executable, *sys.argv], env={**os.environ, **_AVX2}, check=False).returncode)
    if not options.give_back:
        prepare_process()
    torch.set_num_threads(1)
    for name in filter(None, options.networks.split(",")):
        measure(name, options.rounds)
    if options.images:
        count_labels(options.images)


if __name__ == "__main__":
    main()
