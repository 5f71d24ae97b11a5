"""Measure how well a classifier separates simulated channels from real ones: AUC per channel, 0.5 where it cannot.

    python benchmarks/detector.py --real DIR [--dictionary DIR] [--size 256] [--crop 64]

DIR holds real single-channel PNGs named `<id>_<channel>.png`, as the 2018 competition's, 512 pixels wide; DIR of
--dictionary holds RGB pictures, as the atlas's cell dictionary (their lower 8 % with the scale bar is cut off). As many
fields are simulated as there are real images, with the real table's labels, at 512 pixels as the competition's. Both
are shrunk to `size`, cut into crops of `crop` pixels, and separated by logistic regression (ridge, by Newton's method)
on fixed features of each crop: quantiles of intensity, of gradients and of two scales of detail, and the
spectrum in rings. AUC is that of five folds over images, never over crops, so that no image is on both sides. A
classifier of another kind may do better. Costs half a minute on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from scipy.stats import rankdata

from hpa_hier.cli.command import run
from hpa_hier.data.images.channels import CHANNELS
from hpa_hier.errors import UserError
from hpa_hier.simulate.field import simulate_field
from hpa_hier.simulate.labelsets import draw_samples

QUANTILES = (1, 10, 25, 50, 75, 90, 99, 99.9)  # per cent
FOLDS, RINGS = 5, 10


def features(crop: np.ndarray) -> np.ndarray:
    """Return (F,) features of one crop (S, S) uint8."""
    light = crop.astype(np.float32) / 255
    fine = light - cv2.GaussianBlur(light, (0, 0), 1)
    coarse = cv2.GaussianBlur(light, (0, 0), 1) - cv2.GaussianBlur(light, (0, 0), 4)
    slope = np.abs(np.gradient(light)).sum(axis=0)
    spectrum = np.log(np.abs(np.fft.rfft2(light - light.mean())) ** 2 + 1e-3)
    rows, columns = np.fft.fftfreq(len(crop))[:, None], np.fft.rfftfreq(len(crop))[None]
    ring = np.minimum(np.hypot(rows, columns) * 2 * RINGS, RINGS - 1).astype(int)
    rings = np.bincount(ring.ravel(), spectrum.ravel(), RINGS) / np.bincount(ring.ravel(), minlength=RINGS)
    parts = [np.percentile(image, QUANTILES) for image in (light, fine, coarse, slope)]
    return np.concatenate([*parts, rings, [light.mean(), light.std(), (crop == 0).mean(), (crop == 255).mean()]])


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Return the area under the ROC curve, ties counted half.

    >>> auc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, False, True, True]))
    0.875
    """
    many = int(positive.sum())
    return float((rankdata(scores)[positive].sum() - many * (many + 1) / 2) / (many * (len(scores) - many)))


def fit_ridge(x: np.ndarray, y: np.ndarray, ridge: float = 1.0) -> np.ndarray:
    """Fit logistic regression by Newton's method: (B, F) and (B,) in {0, 1} to (F,) weights."""
    weights = np.zeros(x.shape[1])
    for _ in range(25):
        probs = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        slope = x.T @ (probs - y) + ridge * weights
        bend = (x * (probs * (1 - probs))[:, None]).T @ x + ridge * np.eye(x.shape[1])
        weights -= np.linalg.solve(bend, slope)
    return weights


def separation(real: list[np.ndarray], simulated: list[np.ndarray], crop: int, rng: np.random.Generator) -> float:
    """Return the cross-validated AUC over crops of images (S, S)."""
    rows, image, positive = [], [], []
    for number, plane in enumerate([*real, *simulated]):
        for top in range(0, plane.shape[0] - crop + 1, crop):
            for left in range(0, plane.shape[1] - crop + 1, crop):
                rows.append(features(plane[top : top + crop, left : left + crop]))
                image.append(number)
                positive.append(number < len(real))
    x, owner, y = np.array(rows), np.array(image), np.array(positive)
    fold = rng.permutation(len(real) + len(simulated))[owner] % FOLDS
    scores = np.zeros(len(x))
    for held in range(FOLDS):
        train, test = fold != held, fold == held
        mean, std = x[train].mean(axis=0), x[train].std(axis=0) + 1e-6
        scaled = np.concatenate([(x - mean) / std, np.ones((len(x), 1))], axis=1)
        scores[test] = scaled[test] @ fit_ridge(scaled[train], y[train].astype(float))
    return auc(scores, y)


def shrink(plane: np.ndarray, size: int) -> np.ndarray:
    """Shrink to (size, size) by area."""
    return np.asarray(cv2.resize(plane, (size, size), interpolation=cv2.INTER_AREA))


def real_channels(folder: Path, size: int) -> dict[str, list[np.ndarray]]:
    """Read channel → images of a folder of single-channel PNGs."""
    return {
        c: [shrink(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), size) for path in sorted(folder.glob(f"*_{c}.png"))]
        for c in CHANNELS
    }


def dictionary_channels(folder: Path, size: int) -> dict[str, list[np.ndarray]]:
    """Read channel → images of a folder of RGB pictures with a scale bar in their lower 8 %."""
    found: dict[str, list[np.ndarray]] = {c: [] for c in CHANNELS[:3]}
    for path in sorted([*folder.glob("*.jpg"), *folder.glob("*.png")]):
        picture = cv2.imread(str(path))
        side = round(0.92 * min(picture.shape[:2]))
        for c, index in zip(CHANNELS[:3], (2, 1, 0), strict=True):
            found[c].append(shrink(np.ascontiguousarray(picture[:side, :side, index]), size))
    return found


def simulated_channels(
    count: int, sizes: tuple[int, int], radius: tuple[float, float] | None, seed: int
) -> dict[str, list[np.ndarray]]:
    """Simulate channel → `count` images, cells' radius log-uniform between shares of the side.

    Args:
        count: images.
        sizes: pixels that they are simulated at, and that they are shrunk to.
        radius: shares of the side.
        seed: of the draw.
    """
    side, size = sizes
    rng = np.random.default_rng(seed)
    fields = []
    for index, sample in enumerate(draw_samples(count, seed)):
        pixels = float(np.exp(rng.uniform(*np.log(radius)))) * side if radius else None
        fields.append(simulate_field(seed, index, side, sample.labels, radius=pixels).image)
    return {c: [shrink(np.ascontiguousarray(field[k]), size) for field in fields] for k, c in enumerate(CHANNELS)}


def main(arguments: list[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True, metavar="DIR")
    parser.add_argument("--dictionary", type=Path, metavar="DIR")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument(
        "--simulated-size", type=int, default=512, help="pixels that fields are simulated at, then shrunk"
    )
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    sets = [("competition", real_channels(options.real, options.size), None)]
    if options.dictionary:
        sets.append(("dictionary", dictionary_channels(options.dictionary, options.size), (0.2, 0.42)))
    print("| real images | channel | real, simulated | AUC |\n| --- | --- | --- | --- |")
    for name, real, radius in sets:
        many = max(map(len, real.values()))
        if not many:
            raise UserError(f"{options.real}: no file called <id>_red.png, _green.png, _blue.png or _yellow.png")
        simulated = simulated_channels(many, (options.simulated_size, options.size), radius, options.seed)
        for c, planes in real.items():
            value = separation(planes, simulated[c][: len(planes)], options.crop, np.random.default_rng(options.seed))
            print(f"| {name} | {c} | {len(planes)}, {len(planes)} | {value:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    run(main)
