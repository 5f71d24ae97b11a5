"""Measure how often images with faults, and good ones, are called unlike what an ensemble learned from.

    python benchmarks/unlike.py [--run NAME|DIR] [--real NAME=DIR[:SHARE] ...] [--count 200] [--networks] [--markdown F]

Without --run it is the bundled ensemble. Good images are freshly simulated ones (`--count`, seed 2026, as the bundled
recipe simulates) and those of each --real folder; SHARE is cut off below where a scale bar is burnt in, as
`dictionary=DIR:0.08`. To each the faults of FAULTS are done in turn, at the files' own size, before it is resized and
converted to 8 bits as in prediction.

Below it, the same for distances that are fitted on three quarters of a --real folder's own images, drawn 20 times, and
measured on the others: what fitting on one's own images gives. With --networks also for two usual scores on a network's
features, which serve no better: Mahalanobis' distance (Lee et al. 2018) and the fifth neighbour's (Sun et al. 2022).

Brackets are 95 % intervals (Wilson) over images. About three minutes on one core; --networks two more.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from sim_to_real import crop_lower

from hpa_hier.cli.command import run
from hpa_hier.data.images.channels import CHANNELS
from hpa_hier.data.images.read import convert_plane, read_image
from hpa_hier.data.images.scan import scan
from hpa_hier.ensemble.novelty.novelty import Novelty
from hpa_hier.errors import UserError
from hpa_hier.metrics.scores import wilson
from hpa_hier.predict.inputs import InputSpec
from hpa_hier.predict.predictor import Predictor
from hpa_hier.predict.unlike import measure, name_features
from hpa_hier.runs.find import PRETRAINED
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.simulate.write import simulate_images

RECIPE, SEED, SIDE, DRAWS, NEIGHBOURS = "configs/pretrained.yaml", 2026, 512, 20, 5
RED, GREEN, BLUE = (CHANNELS.index(channel) for channel in ("red", "green", "blue"))
Share = tuple[float, int]  # of images called unlike, and of how many
Fault = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # (C, H, W) uint8 → the same


def _swap(one: int, other: int) -> Fault:
    def swap(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
        image = image.copy()
        image[[one, other]] = image[[other, one]]
        return image

    return swap


def _black(channel: int) -> Fault:
    def empty(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
        return np.stack([plane * np.uint8(c != channel) for c, plane in enumerate(image)])

    return empty


def _unstained(channel: int) -> Fault:
    """Return what leaves a camera's noise in one channel, as where a stain failed."""

    def fail(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        image = image.copy()
        image[channel] = np.minimum(rng.poisson(8, image.shape[1:]), 255)
        return image

    return fail


def _defocus(share: float) -> Fault:
    def blur(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
        return np.stack([cv2.GaussianBlur(plane, (0, 0), share * image.shape[1]) for plane in image])

    return blur


def _enlarge(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    H, W = image.shape[1:]
    middle = image[:, H // 4 : H // 4 + H // 2, W // 4 : W // 4 + W // 2]
    return np.stack([cv2.resize(plane, (W, H), interpolation=cv2.INTER_LINEAR) for plane in middle])


def _shrink(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """Return the image at half the size, mirrored to fill the field."""
    H, W = image.shape[1:]
    half = np.stack([cv2.resize(plane, (W // 2, H // 2), interpolation=cv2.INTER_AREA) for plane in image])
    wide = np.concatenate([half, half[:, :, ::-1]], axis=2)
    return np.concatenate([wide, wide[:, ::-1]], axis=1)


def _twice(fault: Fault) -> Fault:
    return lambda image, rng: fault(fault(image, rng), rng)


def _noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(rng.normal(30, 10, image.shape), 0, 255).astype(np.uint8)


def _empty(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return fields without cells: a smooth background with some grain."""
    grain = rng.normal(20, 40, image.shape).astype(np.float32)
    return np.stack([np.clip(cv2.GaussianBlur(plane, (0, 0), 1.5) + 5, 0, 255) for plane in grain]).astype(np.uint8)


def _brightfield(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a bright picture of edges in all channels, as transmitted light gives."""
    smooth = cv2.GaussianBlur(image[GREEN].astype(np.float32), (0, 0), 2)
    edges = cv2.Sobel(smooth, cv2.CV_32F, 1, 1, ksize=3)
    grey = np.clip(180 + 2 * edges - 0.2 * smooth + rng.normal(0, 3, smooth.shape), 0, 255).astype(np.uint8)
    return np.stack([grey] * len(image))


FAULTS: dict[str, Fault] = {
    "none": lambda image, _: image,
    "all channels black": lambda image, _: np.zeros_like(image),
    "noise only": _noise,
    "no cells": _empty,
    "brightfield-like": _brightfield,
    "inverted": lambda image, _: 255 - image,
    "all channels are the protein": lambda image, _: np.stack([image[GREEN]] * len(image)),
    "protein black": _black(GREEN),
    "protein unstained": _unstained(GREEN),
    "nuclei black": _black(BLUE),
    "nuclei unstained": _unstained(BLUE),
    "out of focus, 4 % of the side": _defocus(0.04),
    "out of focus, 2 %": _defocus(0.02),
    "out of focus, 1 %": _defocus(0.01),
    "out of focus, 0.5 %": _defocus(0.005),
    "overexposed 8 times": lambda image, _: np.minimum(image.astype(int) * 8, 255).astype(np.uint8),
    "microtubules and nuclei swapped": _swap(RED, BLUE),
    "protein and nuclei swapped": _swap(GREEN, BLUE),
    "microtubules and protein swapped": _swap(RED, GREEN),
    "a quarter of the magnification": _twice(_shrink),
    "half the magnification": _shrink,
    "twice the magnification": _enlarge,
    "four times the magnification": _twice(_enlarge),
    "4 bits of 8 left": lambda image, _: image // 16,
}


def main(arguments: list[str]) -> int:
    """Measure, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", metavar="NAME|DIR", default=PRETRAINED)
    parser.add_argument(
        "--real", metavar="NAME=DIR[:SHARE]", nargs="+", action="extend", default=[], help="folders of good images"
    )
    parser.add_argument("--count", type=int, default=200, help="simulated images (default: 200)")
    parser.add_argument("--networks", action="store_true", help="also distances of a network's features")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there too")
    options = parser.parse_args(arguments)
    predictor = Predictor.load(options.run)
    novelty, spec = predictor.ensemble.novelty, predictor.spec
    if novelty is None or spec is None:
        raise UserError(f"{options.run}: keeps no distances; fit its ensemble again")
    if spec.kind != "images":
        raise UserError(f"{options.run}: takes {spec.kind}; name a run on images")
    sets = {"simulated": draw_simulated(options.count)}
    for real in options.real:
        name, _, place = real.partition("=")
        folder, _, share = place.partition(":")
        sets[name] = read_folder(Path(folder), float(share or 0))
    names = name_features(spec)
    shares: dict[str, list[Share]] = {}
    measured = {name: list(measure_faults(images, spec)) for name, images in sets.items()}
    for name, rows in measured.items():
        found = [novelty.find_unlike(novelty.distances(novelty.choose(one, names))) for one in rows]
        shares[name] = [(float(one.mean()), len(one)) for one in found]
    tables = [table_text(f"Distances of `{options.run}`", shares)]
    own = {name: fit_own(rows, names) for name, rows in measured.items() if name != "simulated"}
    if own:
        tables.append(table_text("Distances fitted on three quarters of the images themselves", own))
    if options.networks:
        tables.append(table_text("A network's features", judge_features(predictor, spec, sets)))
    text = "\n".join([*tables, time_text(spec)])
    print(text)
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    return 0


def draw_simulated(count: int, seed: int = SEED) -> list[np.ndarray]:
    """Simulate images as the bundled ensemble's recipe does, of another seed: (C, S, S) uint8 each."""
    settings = load_recipe(RECIPE).simulate.model_copy(update={"count": count, "seed": seed})
    return list(simulate_images(settings, range(count)))


def read_folder(folder: Path, crop: float) -> list[np.ndarray]:
    """Read a folder's images at SIDE pixels, as (C, SIDE, SIDE) uint8; a channel that is missing is zeros."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = crop_lower(folder, crop, Path(temporary)) if crop else folder
        return [read_image(one, SIDE, CHANNELS, "depth", ("yellow",)).image for one in scan(folder).sources]


def change(images: Sequence[np.ndarray], fault: Fault, spec: InputSpec) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """Do a fault to images, and convert them as for prediction; return them with the channels that each lacks."""
    rng = np.random.default_rng(0)
    missing = [tuple(c for c, plane in zip(CHANNELS, image, strict=True) if not plane.any()) for image in images]
    faulty = [fault(image, rng) * np.any(image, axis=(1, 2), keepdims=True) for image in images]
    rows = [CHANNELS.index(channel) for channel in spec.channels]
    converted = [[convert_plane(image[c], spec.size, spec.intensity) for c in rows] for image in faulty]
    return np.array(converted, np.uint8), missing


def measure_faults(images: Sequence[np.ndarray], spec: InputSpec) -> Iterator[np.ndarray]:
    """Yield what images (B) are measured by, (B, G), after each fault in turn."""
    for fault in FAULTS.values():
        values, missing = change(images, fault, spec)
        yield measure(values, missing, spec)


def fit_own(rows: Sequence[np.ndarray], names: Sequence[str]) -> list[Share]:
    """Fit distances on three quarters of the good images, and judge the others after each fault; DRAWS times."""
    rng, count = np.random.default_rng(0), len(rows[0])
    judged: list[list[np.ndarray]] = [[] for _ in rows]
    for _ in range(DRAWS):
        order = rng.permutation(count)
        learned, other = order[count // 4 :], order[: count // 4]
        novelty = Novelty.fit(rows[0][learned], names)
        for one, found in zip(rows, judged, strict=True):
            found.append(novelty.find_unlike(novelty.distances(novelty.choose(one[other], names))))
    return [(float(np.concatenate(one).mean()), count) for one in judged]


def judge_features(predictor: Predictor, spec: InputSpec, sets: dict[str, list[np.ndarray]]) -> dict[str, list[Share]]:
    """Judge images by what a member's network makes of them, at the same promised false alarm."""
    from hpa_hier.members.score import Member, score

    record = next(one for one in predictor.run.members if one.name.startswith("leaf"))
    member = Member.load(record.folder, "cpu")
    width = member.network.backbone.num_features

    def embed(values: np.ndarray) -> np.ndarray:
        return score(member.network.features, values, width, member.device).astype(np.float64)

    learned = embed(change(draw_simulated(1000, SEED + 1), FAULTS["none"], spec)[0])
    held_out = embed(change(draw_simulated(300, SEED + 2), FAULTS["none"], spec)[0])
    mahalanobis = Novelty.fit(learned, [f"f{j}" for j in range(width)])
    measures: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "Mahalanobis": mahalanobis.distances,
        "neighbours": lambda rows: _neighbour_distances(rows, learned),
    }
    judged = {}
    for name, images in sets.items():
        embedded = [embed(change(images, fault, spec)[0]) for fault in FAULTS.values()]
        for title, distance in measures.items():
            limit = np.quantile(distance(held_out), 0.95, method="higher")
            judged[f"{title}, {name}"] = [(float((distance(rows) > limit).mean()), len(rows)) for rows in embedded]
    return judged


def _neighbour_distances(rows: np.ndarray, learned: np.ndarray) -> np.ndarray:
    rows, learned = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (rows, learned))
    return np.asarray(-np.partition(rows @ learned.T, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS])


def table_text(title: str, judged: dict[str, list[Share]]) -> str:
    """Return a table of the share of images called unlike: faults down, sets across."""
    heads = [f"{name} ({rows[0][1]:,})" for name, rows in judged.items()]
    lines = [f"{title}, share called unlike:", "", f"| fault | {' | '.join(heads)} |"]
    lines.append("| --- " * (len(judged) + 1) + "|")
    for j, fault in enumerate(FAULTS):
        lines.append(f"| {fault} | {' | '.join(share_text(*rows[j]) for rows in judged.values())} |")
    return "\n".join(lines) + "\n"


def time_text(spec: InputSpec) -> str:
    """Return how long measuring takes, beside one larger size."""
    rng, took = np.random.default_rng(0), {}
    for size in (spec.size, 4 * spec.size):
        images = rng.integers(0, 256, (16, len(spec.channels), size, size), dtype=np.uint8)
        began = time.process_time()
        measure(images, ((),) * len(images), replace(spec, size=size))
        took[size] = (time.process_time() - began) / len(images)
    return "measuring takes " + ", ".join(f"{1e3 * s:.1f} ms an image of {size}²" for size, s in took.items()) + "\n"


def share_text(share: float, count: int) -> str:
    """Return a share with its interval.

    >>> share_text(0.5, 20)
    '0.50 [0.30, 0.70]'
    """
    low, high = wilson(np.array(share * count), np.array(float(count)), 0.95)
    return f"{share:.2f} [{float(low):.2f}, {float(high):.2f}]"


if __name__ == "__main__":
    run(main)
