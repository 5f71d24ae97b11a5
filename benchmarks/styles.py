r"""Measure what styles of real pictures do to simulated images: how much of the label is left, how real they look.

    python -m hpa_hier data simulate --config configs/pretrained.yaml --as files --size 128 --count 500 --seed 101 \
        --out drawn
    python benchmarks/styles.py --images drawn --styles DIR

Images of --images are changed as `training.augment.styles` does, one way and at one strength at a time, each channel by
a picture drawn among those that are nearest. "Each frequency" mixes the amplitude of each frequency with that of any
picture, as Yang & Soatto (2020; up to 1 in 16 of the frequencies) and Xu et al. (2021; all) do, and is not offered. A
fitted ensemble that never saw a style (--run, by default the bundled one) is asked for their labels: the mean AP of
leaves falls by what the change hides from it, be it of the label or only unfamiliar. The intervals are of the
difference to unchanged images, bootstrap over images. "Told from real" is the AUC of benchmarks/detector.py between the
protein's channel of these images and that of the pictures, five folds over images, on crops of half the side; 0.5 is
not at all. Milliseconds are of one image with all of its channels. Costs two minutes on one core for 500 images.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from detector import separation

from hpa_hier.cli.command import run
from hpa_hier.data.images.read import read_image
from hpa_hier.data.images.scan import scan
from hpa_hier.data.labels.table import read_labels, targets
from hpa_hier.ensemble.scores.scores import Scores
from hpa_hier.metrics import scores as metrics
from hpa_hier.metrics.bootstrap import interval, resamples
from hpa_hier.models.augment.style import StyleDraws, Styles, apply_styles
from hpa_hier.predict.predictor import Predictor
from hpa_hier.runs.find import PRETRAINED
from hpa_hier.training.batches.styles import read_styles

RESAMPLES, LEVEL, LEAST = 1000, 0.95, 4
STRENGTHS = (0.5, 1.0)


def read_folder(folder: Path, channels: tuple[str, ...], size: int, intensity: str) -> tuple[list[str], np.ndarray]:
    """Return ids and images (B, C, S, S) uint8 of a folder; channels that one lacks are zeros."""
    sources = scan(folder).sources
    images = [read_image(one, size, channels, intensity, channels).image for one in sources]
    return [one.id for one in sources], np.stack(images)


def restyle(images: np.ndarray, styles: Styles, spectrum: float, histogram: float) -> tuple[np.ndarray, float]:
    """Return images in other pictures' styles, and the milliseconds that one took."""
    changed, shape = images.copy(), images.shape[:2]
    draws = StyleDraws(np.random.default_rng(0).random(shape), np.full(shape, spectrum), np.full(shape, histogram))
    began = time.process_time()
    apply_styles(changed, draws, styles)
    return changed, (time.process_time() - began) * 1000 / len(images)


def mix_frequencies(images: np.ndarray, pictures: np.ndarray, highest: float, strength: float) -> np.ndarray:
    """Return images with a share of the amplitudes of pictures drawn at random, each frequency up to a share of all."""
    rng, side, changed = np.random.default_rng(0), images.shape[-1], images.copy()
    low = np.maximum(np.abs(np.fft.fftfreq(side))[:, None], np.fft.rfftfreq(side)) <= highest / 2
    for image in changed:
        for channel in np.flatnonzero(image.any(axis=(1, 2))):
            own, other = (np.fft.rfft2(one[channel]) for one in (image, pictures[rng.integers(len(pictures))]))
            own *= np.where(low, 1 + strength * (np.abs(other) / np.maximum(np.abs(own), 1e-6) - 1), 1)
            image[channel] = np.clip(np.rint(np.fft.irfft2(own, s=(side, side))), 0, 255)
    return changed


def main(arguments: list[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="simulated, with labels.csv")
    parser.add_argument("--styles", type=Path, required=True, metavar="DIR", help="pictures whose styles are taken")
    parser.add_argument("--run", metavar="NAME|DIR", help="run with a fitted ensemble (default: the bundled one)")
    options = parser.parse_args(arguments)
    predictor = Predictor.load(options.run or PRETRAINED)
    taxonomy, spec = predictor.ensemble.taxonomy, predictor.check_kind("images", "")
    ids, images = read_folder(options.images, spec.channels, spec.size, spec.intensity)
    labels = read_labels(options.images / "labels.csv", taxonomy)
    row = {sample: i for i, sample in enumerate(labels.ids)}
    present = targets([labels.nodes[row[sample]] for sample in ids], taxonomy).present
    leaves = [taxonomy.column[leaf] for leaf in taxonomy.leaves if present[:, taxonomy.column[leaf]].sum() >= LEAST]
    truth, green = present[:, leaves], spec.channels.index("green")
    weights = np.concatenate(list(resamples(np.arange(len(ids)), RESAMPLES, np.random.default_rng(0))))
    weights = np.concatenate([np.ones((1, len(ids)), np.float32), weights])

    def mean_ap(changed: np.ndarray) -> np.ndarray:
        scores = [
            Scores(name, tuple(ids), tuple(member.nodes), member.logits(changed).astype(np.float64))
            for name, member in predictor.scorers.items()
        ]
        probs = predictor.ensemble.predict(scores).probs[:, leaves]
        return metrics.mean_of_defined(metrics.average_precision(probs, truth, np.ones_like(truth), weights))

    def told(changed: np.ndarray, real: np.ndarray) -> float:
        some = changed[np.linspace(0, len(changed) - 1, 2 * len(real)).astype(int), green]
        return separation(list(real), list(some), spec.size // 2, np.random.default_rng(0))

    _, pictures = read_folder(options.styles, spec.channels, spec.size, spec.intensity)
    real = pictures[pictures[:, green].any(axis=(1, 2)), green]
    plain = mean_ap(images)
    kept = f"{len(leaves)} leaves with {LEAST} or more, {int(truth.sum())} positives"
    print(f"{len(ids)} images, {kept}; {len(real)} pictures")
    print("| change | strength | mean AP | difference | told from real | ms an image |\n" + "| --- " * 6 + "|")
    print(f"| none | – | {plain[0]:.3f} | – | {told(images, real):.2f} | – |", flush=True)
    styles = read_styles(options.styles, spec.channels, spec.size, spec.intensity)
    parts = {"spectrum": (1, 0), "histogram": (0, 1), "both": (1, 1)}
    ways = {name: (lambda s, p=p: restyle(images, styles, s * p[0], s * p[1])) for name, p in parts.items()}
    whole = pictures[pictures.any(axis=(2, 3)).all(axis=1)]
    for highest in (1 / 16, 1.0) if len(whole) else ():
        ways[f"each frequency up to {highest:g}"] = lambda s, h=highest: (mix_frequencies(images, whole, h, s), np.nan)
    for name, way in ways.items():
        for strength in STRENGTHS:
            changed, took = way(strength)
            found = mean_ap(changed)
            gap = found - plain
            low, high = interval(gap[1:], np.asarray(gap[0]), LEVEL)
            cells = (name, f"{strength:g}", f"{found[0]:.3f}", f"{gap[0]:+.3f} [{low:+.3f}, {high:+.3f}]")
            print(f"| {' | '.join(cells)} | {told(changed, real):.2f} | {took:.1f} |".replace("nan", "–"), flush=True)
    return 0


if __name__ == "__main__":
    run(main)
