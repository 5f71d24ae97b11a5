"""Measure how well a classifier separates simulated channels from real ones: AUC per channel, 0.5 where it cannot.

    python benchmarks/detector.py --real DIR [DIR ...] [--realism 0 1] [--without LEVER ...] [--dictionary DIR]

DIR holds real single-channel PNGs named `<id>_<channel>.png`, as the 2018 competition's, 512 pixels wide; DIR of
--dictionary holds RGB pictures, as the atlas's cell dictionary (their lower 8 % with the scale bar is cut off). Both
sides are brought to `size` as prediction does, by area and with the percentile rule; fields are simulated at twice the
side, with the real table's labels. Crops of `crop` pixels are separated by logistic regression (ridge, by Newton's
method) on fixed features of each: quantiles of intensity, of gradients and of two scales of detail, and the spectrum in
rings. AUC is that of five folds over images, never over crops, so that no image is on both sides; the mean of five
divisions into folds, with the least and the largest. A classifier of another kind may do better. --without leaves one
lever of `simulate.realism` out (each in a row of its own). Costs half a minute on one core for each row.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import cv2
import numpy as np
from scipy.stats import rankdata

from hpa_hier.cli.command import run
from hpa_hier.data.images.channels import CHANNELS
from hpa_hier.data.images.read import to_uint8
from hpa_hier.errors import UserError
from hpa_hier.simulate import field, staining
from hpa_hier.simulate.cells import draw_cells
from hpa_hier.simulate.field import draw_places, draw_strengths, green, red, simulate_field, yellow
from hpa_hier.simulate.labelsets import draw_samples
from hpa_hier.simulate.optics import draw_optics
from hpa_hier.simulate.patterns import PATTERNS

QUANTILES = (1, 10, 25, 50, 75, 90, 99, 99.9)  # per cent
FOLDS, DIVISIONS, RINGS = 5, 5, 10
LEVERS: Mapping[str, tuple[tuple[object, str, Callable[..., Any] | Mapping[str, Any]], ...]] = {
    "layout": ((field, "draw_cells", lambda rng, size, needs: draw_cells(rng, size, replace(needs, real=False))),),
    "patterns": ((staining, "REAL_PATTERNS", PATTERNS),),
    "strengths": ((field, "draw_real_strengths", draw_strengths), (field, "draw_real_places", draw_places)),
    "green": ((field, "real_green", green),),
    "stains": ((field, "real_red", red), (field, "real_yellow", yellow)),
    "clutter": ((field, "add_clutter", lambda scene, light, channel, clutter: light),),
    "light": ((field, "draw_real_optics", draw_optics),),
}  # lever → what stands in for what, where it is left out


@contextmanager
def without(lever: str | None) -> Iterator[None]:
    """Simulate real-looking fields without one lever of LEVERS; None leaves nothing out."""
    with ExitStack() as stack:
        for room, name, other in LEVERS[lever] if lever else ():
            stack.enter_context(mock.patch.object(room, name, other))
        yield


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


class Crops(NamedTuple):
    """Features of crops of real and simulated images."""

    features: np.ndarray  # (K, F)
    image: np.ndarray  # (K,) number of the image that a crop is of
    real: np.ndarray  # (K,) bool


def cut(real: list[np.ndarray], simulated: list[np.ndarray], crop: int) -> Crops:
    """Measure crops of `crop` pixels of images (S, S)."""
    rows, image, positive = [], [], []
    for number, plane in enumerate([*real, *simulated]):
        for top in range(0, plane.shape[0] - crop + 1, crop):
            for left in range(0, plane.shape[1] - crop + 1, crop):
                rows.append(features(plane[top : top + crop, left : left + crop]))
                image.append(number)
                positive.append(number < len(real))
    return Crops(np.array(rows), np.array(image), np.array(positive))


def separate(crops: Crops, rng: np.random.Generator) -> float:
    """Return the AUC over crops, cross-validated over images in one division into folds."""
    x, y, scores = crops.features, crops.real, np.zeros(len(crops.real))
    fold = rng.permutation(crops.image.max() + 1)[crops.image] % FOLDS
    for held in range(FOLDS):
        train, test = fold != held, fold == held
        mean, std = x[train].mean(axis=0), x[train].std(axis=0) + 1e-6
        scaled = np.concatenate([(x - mean) / std, np.ones((len(x), 1))], axis=1)
        scores[test] = scaled[test] @ fit_ridge(scaled[train], y[train].astype(float))
    return auc(scores, y)


def separation(real: list[np.ndarray], simulated: list[np.ndarray], crop: int, rng: np.random.Generator) -> float:
    """Return the cross-validated AUC over crops of images (S, S)."""
    return separate(cut(real, simulated, crop), rng)


def convert(plane: np.ndarray, size: int) -> np.ndarray:
    """Shrink to (size, size) by area and stretch the intensities, as prediction does."""
    return to_uint8(np.asarray(cv2.resize(plane, (size, size), interpolation=cv2.INTER_AREA)), "percentile")


def real_channels(folders: list[Path], size: int) -> dict[str, list[np.ndarray]]:
    """Read channel → images of folders of single-channel PNGs."""
    files = {c: [path for folder in folders for path in sorted(folder.glob(f"*_{c}.png"))] for c in CHANNELS}
    return {c: [convert(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), size) for path in files[c]] for c in CHANNELS}


def dictionary_channels(folder: Path, size: int) -> dict[str, list[np.ndarray]]:
    """Read channel → images of a folder of RGB pictures with a scale bar in their lower 8 %."""
    found: dict[str, list[np.ndarray]] = {c: [] for c in CHANNELS[:3]}
    for path in sorted([*folder.glob("*.jpg"), *folder.glob("*.png")]):
        picture = cv2.imread(str(path))
        side = round(0.92 * min(picture.shape[:2]))
        for c, index in zip(CHANNELS[:3], (2, 1, 0), strict=True):
            found[c].append(convert(np.ascontiguousarray(picture[:side, :side, index]), size))
    return found


def simulated_channels(
    count: int, size: int, radius: tuple[float, float], look: dict[str, float], seed: int
) -> dict[str, list[np.ndarray]]:
    """Simulate channel → `count` images, cells' radius log-uniform between shares of the side.

    Args:
        count: images.
        size: pixels.
        radius: shares of the side.
        look: `realism` and `variety` of `simulate_field`.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    fields = []
    for index, sample in enumerate(draw_samples(count, seed)):
        pixels = float(np.exp(rng.uniform(*np.log(radius)))) * size
        drawn = simulate_field(seed, index, size, sample.labels, radius=pixels, supersample=2, **look)  # type: ignore[arg-type]
        fields.append([to_uint8(plane, "percentile") for plane in drawn.image])
    return {c: [planes[k] for planes in fields] for k, c in enumerate(CHANNELS)}


def main(arguments: list[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, nargs="+", action="extend", required=True, metavar="DIR")
    parser.add_argument("--dictionary", type=Path, metavar="DIR")
    parser.add_argument("--size", type=int, default=128, help="pixels")
    parser.add_argument("--crop", type=int, default=64, help="pixels")
    parser.add_argument("--realism", type=float, nargs="+", default=[0.0, 1.0], help="a table row for each")
    parser.add_argument("--variety", type=float, default=0.0)
    parser.add_argument("--without", nargs="*", default=[], choices=list(LEVERS), help="a table row for each too")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    sets = [("competition", real_channels(options.real, options.size), (0.05, 0.15))]
    if options.dictionary:
        sets.append(("dictionary", dictionary_channels(options.dictionary, options.size), (0.2, 0.42)))
    rows = [(realism, None) for realism in options.realism] + [(1.0, lever) for lever in options.without]
    print(
        f"| real images | simulated | {' | '.join(CHANNELS)} |\n| --- | --- | {' | '.join('---' for _ in CHANNELS)} |"
    )
    for name, real, radius in sets:
        many = max(map(len, real.values()))
        if not many:
            raise UserError(f"{options.real[0]}: no file called <id>_red.png, _green.png, _blue.png or _yellow.png")
        for realism, lever in rows:
            with without(lever):
                look = {"realism": realism, "variety": options.variety}
                simulated = simulated_channels(many, options.size, radius, look, options.seed)
            cells = []
            for c in CHANNELS:
                if c not in real:
                    cells.append("")
                    continue
                crops = cut(real[c], simulated[c], options.crop)
                areas = [separate(crops, np.random.default_rng([options.seed, k])) for k in range(DIVISIONS)]
                cells.append(f"{np.mean(areas):.2f} [{min(areas):.2f}, {max(areas):.2f}]")
            what = f"realism {realism:g}" + (f" without {lever}" if lever else "")
            print(f"| {name}, {many} | {what}, {many} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    run(main)
