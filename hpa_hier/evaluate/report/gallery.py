"""Gallery: the best, the worst and the most uncertain test images, one coloured layer a channel."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from hpa_hier.data.pack.pack import ImagePack
from hpa_hier.metrics import scores as metrics
from hpa_hier.metrics.scores import Bools, Floats
from hpa_hier.predict.explanation.draw import COLOURS
from hpa_hier.runs.evaluation import Evaluation

Rows = npt.NDArray[np.integer]

_LEVELS = 64  # grey steps kept in the page; more cannot be seen and cost twice the bytes
_LARGEST = 192  # pixels, side of an image in the page
_BRIGHTEST = 99.8  # percentile of a channel that is shown at full brightness


@dataclass(frozen=True)
class Label:
    """One label of a card: its name, its probability, and whether truth and decision agree on it."""

    name: str
    prob: float
    mark: Literal["right", "missed", "wrong", "unknown"]  # missed: true, not predicted; unknown: predicted, unlabelled


@dataclass(frozen=True)
class Card:
    """One image with its labels."""

    id: str
    layers: dict[str, str]  # channel → data URI of its coloured plane
    true: list[Label]
    predicted: list[Label]
    f1: float


@dataclass(frozen=True)
class Shelf:
    """A row of cards and how they were chosen."""

    title: str
    words: str
    cards: list[Card]


def choose_shelves(evaluation: Evaluation, pack: ImagePack, number: int) -> list[Shelf]:
    """Choose the gallery's images: up to `number` on each of three shelves."""
    answers, leaves = evaluation.ensemble, evaluation.leaf_columns
    targets, known = evaluation.targets[:, leaves], evaluation.known[:, leaves]
    present, probs = answers.present[:, leaves], answers.probs[:, leaves]
    f1 = metrics.sample_f1(present, targets, known)
    loss = log_loss(probs, targets, known)
    best_words = "Highest F1, the most confident first; one image of each label set before a second of any."

    def shelf(title: str, words: str, rows: Rows) -> Shelf:
        return Shelf(title, words, [_card(evaluation, pack, int(row), float(f1[row])) for row in rows])

    return [
        shelf("Best", best_words, best(f1, loss, targets, number)),
        shelf("Worst", "Lowest F1 of the image, the most surprising first.", worst(f1, loss, number)),
        shelf("Most uncertain", "Highest entropy over all leaves, right or wrong.", most_uncertain(probs, number)),
    ]


def log_loss(probs: Floats, targets: Bools, known: Bools) -> Floats:
    """Return each sample's log loss over its known nodes, (B,).

    >>> log_loss(np.array([[0.5, 0.9]]), np.array([[True, True]]), np.array([[True, False]])).round(3)
    array([0.693])
    """
    clipped = np.clip(probs, 1e-6, 1 - 1e-6)
    return np.asarray(-(np.where(targets, np.log(clipped), np.log1p(-clipped)) * known).sum(axis=1))


def best(f1: Floats, loss: Floats, targets: Bools, number: int) -> Rows:
    """Rank by F1, then by least loss; the first of each label set comes before any second."""
    order = np.lexsort((loss, -f1))
    sets = pd.Series([row.tobytes() for row in targets[order]])
    turn = sets.groupby(sets).cumcount()
    perfect = f1[order] == f1.max(initial=0)
    return np.asarray(order[np.lexsort((np.arange(len(order)), turn, ~perfect))][:number])


def worst(f1: Floats, loss: Floats, number: int) -> Rows:
    """Rank by least F1, then by most loss.

    >>> worst(np.array([0.0, 1.0, 0.0]), np.array([2.0, 9.0, 3.0]), 2)
    array([2, 0])
    """
    return np.asarray(np.lexsort((-loss, f1))[:number])


def most_uncertain(probs: Floats, number: int) -> Rows:
    """Rank by the summed binary entropy of the probabilities.

    >>> most_uncertain(np.array([[0.01, 0.99], [0.5, 0.5]]), 1)
    array([1])
    """
    clipped = np.clip(probs, 1e-9, 1 - 1e-9)
    entropy = -(clipped * np.log(clipped) + (1 - clipped) * np.log1p(-clipped)).sum(axis=1)
    return np.asarray(np.argsort(-entropy, kind="stable")[:number])


def _card(evaluation: Evaluation, pack: ImagePack, row: int, f1: float) -> Card:
    name, probs = evaluation.ids[row], evaluation.ensemble.probs[row]
    present, known = evaluation.ensemble.present[row], evaluation.known[row]
    targets = evaluation.targets[row]

    def labels(on: Bools, other: Bools, mark: Literal["missed", "wrong"]) -> list[Label]:
        return [
            Label(
                evaluation.taxonomy.nodes[j], float(probs[j]), "right" if other[j] else mark if known[j] else "unknown"
            )
            for j in sorted(evaluation.leaf_columns[on[evaluation.leaf_columns]], key=lambda j: -probs[j])
        ]

    planes = pack.images(pack.find_rows([name]))[0]
    layers = {channel: layer(plane, channel) for channel, plane in zip(pack.channels, planes, strict=True)}
    return Card(name, layers, labels(targets & known, present, "missed"), labels(present, targets, "wrong"), f1)


def layer(plane: npt.NDArray[np.uint8], channel: str) -> str:
    """Colour one channel and return it as the data URI of a palette PNG.

    Args:
        plane: (S, S) uint8.
        channel: red, green, blue or yellow.
    """
    side = min(_LARGEST, plane.shape[0])
    small = cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA) if side < plane.shape[0] else plane
    top = max(float(np.percentile(small, _BRIGHTEST)), 8.0)  # an empty channel stays dark
    grey = np.clip(small * ((_LEVELS - 1) / top), 0, _LEVELS - 1).astype(np.uint8)
    image = Image.fromarray(grey).convert("P")
    image.putpalette([part * k // (_LEVELS - 1) for k in range(_LEVELS) for part in COLOURS[channel]])
    kept = io.BytesIO()
    image.save(kept, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(kept.getvalue()).decode("ascii")
