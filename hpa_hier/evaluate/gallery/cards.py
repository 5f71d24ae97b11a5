"""Cards: one picture with its labels, where the protein is said to be and where it is annotated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from hpa_hier.data.pack.pack import ImagePack
from hpa_hier.evaluate.gallery.heat_maps import Heat, HeatMapper, NoHeat, draw_heat
from hpa_hier.evaluate.gallery.pictures import ScaleBar, encode_within, scale_bar
from hpa_hier.evaluate.gallery.shelves import KINDS, Kind, Place, candidates, fill_shelves
from hpa_hier.runs.evaluation import Evaluation

BUDGET = 3_000_000  # characters of the page that pictures may take, heat maps apart
_LINKS = 4  # to the parts of other classes, in a line
Mark = Literal["found", "missed", "wrong", "unknown"]  # unknown: called where the annotation does not tell


@dataclass(frozen=True)
class Label:
    """One label of a card: its name, its probability, and what became of it."""

    name: str
    prob: float
    mark: Mark


@dataclass(frozen=True)
class Card:
    """One sample with its labels."""

    id: str
    number: int  # of all cards of the page
    node: str  # the class it is shown for
    kind: Kind
    planes: dict[str, str]  # channel → data URI of its grey plane
    labels: tuple[Label, ...]  # the class it is shown for first
    heat: Heat
    bar: ScaleBar | None

    @property
    def prob(self) -> float:
        """The probability of the class it is shown for."""
        return self.labels[0].prob


@dataclass(frozen=True)
class Shelf:
    """The cards of one class and kind, sorted by confidence, and where the others of the kind are shown."""

    kind: Kind
    samples: int  # that there are
    cards: tuple[Card, ...]
    elsewhere: dict[str, int]  # node → samples of this kind that are shown there

    @property
    def most_elsewhere(self) -> dict[str, int]:
        """The few classes that show most of the others."""
        return dict(sorted(self.elsewhere.items(), key=lambda item: -item[1])[:_LINKS])


@dataclass(frozen=True)
class Gallery:
    """Pictures of a report."""

    shelves: dict[str, tuple[Shelf, ...]] = field(default_factory=dict)  # leaf → its shelves that have samples
    channels: tuple[str, ...] = ()
    side: int = 0  # pixels, of the images in the pack
    shown: int = 0  # pixels, of the protein's planes in the page
    bar: ScaleBar | None = None
    no_heat: str = ""  # why no card has a heat map

    @property
    def cards(self) -> tuple[Card, ...]:
        """Every card, in the order of the page."""
        return tuple(card for shelves in self.shelves.values() for shelf in shelves for card in shelf.cards)


def hang(
    evaluation: Evaluation, pack: ImagePack, number: int, mapper: HeatMapper | NoHeat, budget: int = BUDGET
) -> Gallery:
    """Choose each class's pictures and encode them.

    Args:
        evaluation: what was answered for the samples.
        pack: their images.
        number: of pictures on a shelf, at most.
        mapper: draws heat maps, or says why there are none.
        budget: characters that the planes may take; it decides how fine pictures are, and where even coarse ones are
            too many, how many of them there are.
    """
    answers, leaves, nodes = evaluation.ensemble, evaluation.leaf_columns, evaluation.taxonomy.leaves
    marks = (part[:, leaves] for part in (answers.present, evaluation.targets, evaluation.known))
    found = candidates(answers.probs[:, leaves], *marks)
    places = list(fill_shelves(found, number))
    rows = pack.find_rows([evaluation.ids[place.row] for place in places])

    def planes(k: int) -> dict[str, np.ndarray]:
        return dict(zip(pack.channels, pack.images(rows[k : k + 1])[0], strict=True))

    encoded, fineness = encode_within(planes, len(places), budget)
    places = places[: len(encoded)]
    wanted = ((pack.images(rows[k : k + 1])[0], nodes[place.label]) for k, place in enumerate(places))
    drawn = mapper if isinstance(mapper, NoHeat) else draw_heat(mapper, wanted)
    heats = [Heat()] * len(places) if isinstance(drawn, NoHeat) else drawn
    bar = scale_bar(pack.facts.micrometres, pack.size)
    cards = {
        place: _card(evaluation, place, k, kept, heat, bar)
        for k, (place, kept, heat) in enumerate(zip(places, encoded, heats, strict=True))
    }
    shown_at = {place.row: place for place in places}
    shelves: dict[str, list[Shelf]] = {}
    for label, kind in sorted(found, key=lambda key: (key[0], KINDS.index(key[1]))):
        on_it = [place for place in places if (place.label, place.kind) == (label, kind)]
        others = [shown_at[row].label for row in found[label, kind].tolist() if row in shown_at]
        elsewhere = {nodes[other]: others.count(other) for other in sorted(set(others) - {label})}
        one = Shelf(kind, len(found[label, kind]), _sort([cards[place] for place in on_it], kind), elsewhere)
        shelves.setdefault(nodes[label], []).append(one)
    return Gallery(
        shelves={node: tuple(some) for node, some in shelves.items()},
        channels=pack.channels,
        side=pack.size,
        shown=min(pack.size, fineness.protein),
        bar=bar,
        no_heat=drawn.reason if isinstance(drawn, NoHeat) else "",
    )


def _sort(cards: Sequence[Card], kind: Kind) -> tuple[Card, ...]:
    """Put the surest mistakes and the surest answers first."""
    return tuple(sorted(cards, key=lambda card: card.prob if kind == "missed" else -card.prob))


def _card(
    evaluation: Evaluation, place: Place, number: int, planes: dict[str, str], heat: Heat, bar: ScaleBar | None
) -> Card:
    leaves, row = evaluation.leaf_columns, place.row
    probs, present = evaluation.ensemble.probs[row, leaves], evaluation.ensemble.present[row, leaves]
    known, targets = evaluation.known[row, leaves], evaluation.targets[row, leaves] & evaluation.known[row, leaves]
    names = evaluation.taxonomy.leaves
    shown = np.flatnonzero(present | targets).tolist()
    labels = tuple(
        Label(names[j], float(probs[j]), _mark(bool(present[j]), bool(targets[j]), bool(known[j])))
        for j in sorted(shown, key=lambda j: (j != place.label, -probs[j]))
    )
    return Card(evaluation.ids[row], number, names[place.label], place.kind, planes, labels, heat, bar)


def _mark(present: bool, target: bool, known: bool) -> Mark:
    if not known:
        return "unknown"
    return "found" if present and target else "missed" if target else "wrong"
