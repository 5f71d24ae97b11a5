"""Gallery: the best, the worst and the most uncertain test images, one coloured layer a channel."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from hpa_hier.metrics import scores as metrics
from hpa_hier.runs.evaluation import Evaluation

Bytes = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.integer]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]

COLOURS = {"red": (255, 40, 40), "green": (40, 255, 60), "blue": (70, 110, 255), "yellow": (255, 210, 0)}
STAINS = {"red": "microtubules", "green": "protein", "blue": "nucleus", "yellow": "endoplasmic reticulum"}
_LEVELS = 64  # grey steps kept in the page; more cannot be seen and cost twice the bytes
_LARGEST = 192  # pixels, side of an image in the page
_BRIGHTEST = 99.8  # percentile of a channel that is shown at full brightness


class Images(Protocol):
    """What the gallery needs of a pack."""

    @property
    def channels(self) -> Sequence[str]:
        """Names of the planes, in order."""

    def find_rows(self, ids: Sequence[str]) -> Rows:
        """Return the rows of samples."""

    def images(self, rows: Rows) -> Bytes:
        """Return (B, C, S, S) images."""


@dataclass(frozen=True)
class Label:
    """One label of a card: its name, its probability, and whether truth and decision agree on it."""

    name: str
    prob: float
    mark: (
        str  # "right", "missed" (true, not predicted), "wrong" (predicted, not true), "unknown" (predicted, unlabelled)
    )


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


def choose_shelves(evaluation: Evaluation, images: Images, number: int) -> list[Shelf]:
    """Choose the gallery's images: up to `number` on each of three shelves."""
    answers, leaves = evaluation.ensemble, evaluation.leaf_columns
    targets, known = evaluation.targets[:, leaves], evaluation.known[:, leaves]
    present, probs = answers.present[:, leaves], answers.probs[:, leaves]
    f1 = metrics.sample_f1(present, targets, known)
    loss = log_loss(probs, targets, known)
    chosen = (
        (
            "Best",
            "Highest F1, the most confident first; one image of each label set before a second of any.",
            best(f1, loss, targets, number),
        ),
        ("Worst", "Lowest F1 of the image, the most surprising first.", worst(f1, loss, number)),
        ("Most uncertain", "Highest entropy over all leaves, right or wrong.", most_uncertain(probs, number)),
    )
    return [
        Shelf(title, words, [_card(evaluation, images, int(row), float(f1[row])) for row in rows])
        for title, words, rows in chosen
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
    seen: dict[bytes, int] = {}
    turn = np.zeros(len(order), dtype=np.intp)
    for k, row in enumerate(order):
        key = targets[row].tobytes()
        turn[k] = seen[key] = seen.get(key, -1) + 1
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


def _card(evaluation: Evaluation, images: Images, row: int, f1: float) -> Card:
    name = evaluation.ids[row]
    planes = images.images(images.find_rows([name]))[0]
    taxonomy, answers = evaluation.taxonomy, evaluation.ensemble

    def labels(on: Bools, other: Bools, mark: str) -> list[Label]:
        chosen = [j for j in evaluation.leaf_columns if on[row, j]]
        chosen.sort(key=lambda j: -answers.probs[row, j])
        marks = ("right" if other[row, j] else mark if evaluation.known[row, j] else "unknown" for j in chosen)
        return [
            Label(taxonomy.nodes[j], float(answers.probs[row, j]), one) for j, one in zip(chosen, marks, strict=True)
        ]

    layers = {channel: layer(plane, channel) for channel, plane in zip(images.channels, planes, strict=True)}
    true = labels(evaluation.targets & evaluation.known, answers.present, "missed")
    return Card(name, layers, true, labels(answers.present, evaluation.targets, "wrong"), f1)


def layer(plane: Bytes, channel: str) -> str:
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
