"""Needs: which classes need images, by what their intervals leave open, and how many would tell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from hpa_hier.evaluate.describe import list_some, number_in_words
from hpa_hier.evaluate.estimate import HANDFUL
from hpa_hier.evaluate.results import NodeRow, Results

WITHIN = 0.1  # of recall: as exactly as it should be known
_SHOWN = 6  # classes


@dataclass(frozen=True)
class Need:
    """A class whose figures its images leave open."""

    row: NodeRow
    learned: int | None  # images that networks learned from; None: not known
    wanted: int  # images measured on that would tell its recall within WITHIN


@dataclass(frozen=True)
class Needs:
    """Which classes need images."""

    classes: tuple[Need, ...]  # those that would gain most first, the first few
    others: int  # that need images too
    absent: tuple[str, ...]  # no image here has them
    learned: bool  # whether it is known how many images networks learned from
    level: float  # of the intervals

    @property
    def sentence(self) -> str:
        """Say which classes need images; "" where none does."""
        if not self.classes:
            return ""
        many = len(self.classes)
        head = "This class needs images" if many == 1 else f"These {number_in_words(many)} classes need images"
        names = ", ".join(f"{one.row.node} ({one.row.positives:,})" for one in self.classes)
        more = f", and {self.others} others" if self.others > 1 else ", and one other" if self.others else ""
        return f"{head} most: {names}{more}. In brackets the images here, too few to tell."


def find_needs(results: Results, learned: Mapping[str, int] | None = None) -> Needs:
    """Find the classes of which the images are too few to tell whether they are found.

    A class needs images where it has fewer than a handful, or where its interval holds both: not found at all better
    than by always answering it, and found as well as the mean class. The order is that of what is still possible:
    by how far the upper bound of F1 is above its value.

    Args:
        results: with intervals.
        learned: leaf → images that networks learned from; None: not known.
    """
    leaves = [row for row in results.nodes if row.leaf]
    macro = results.row("macro_f1").ensemble.value or 0.0
    open_ = [row for row in leaves if row.positives and (row.positives < HANDFUL or _is_open(row, macro))]
    open_.sort(key=lambda row: (-(bound(row.f1.high) - bound(row.f1.value)), row.positives))
    shown = tuple(
        Need(row, learned.get(row.node) if learned else None, count_wanted(row, results.scope.interval))
        for row in open_[:_SHOWN]
    )
    return Needs(shown, len(open_) - len(shown), results.scope.left_out, learned is not None, results.scope.interval)


def is_founded(row: NodeRow) -> bool:
    """Tell whether a class has images enough for a word about it."""
    return row.positives >= HANDFUL and row.f1.low is not None and row.f1.high is not None


def is_found(row: NodeRow) -> bool:
    """Tell whether a class is surely found better than by always answering it."""
    return is_founded(row) and bound(row.f1.low) > f1_of_always(row)


def f1_of_always(row: NodeRow) -> float:
    """Return the F1 of answering the node for every sample: 2p / (1 + p) of its share p."""
    return 2 * row.positives / (row.positives + row.tp + row.fp + row.fn + row.tn)


def bound(value: float | None) -> float:
    """Return a bound of F1, 0 where it is not defined."""
    return value or 0.0


def _is_open(row: NodeRow, macro: float) -> bool:
    return bound(row.f1.low) <= f1_of_always(row) and bound(row.f1.high) >= macro


def count_wanted(row: NodeRow, level: float) -> int:
    """Count the images that would tell a class's recall within WITHIN, on either side.

    By the normal interval of a share, where the share found so far is moved towards a half by two imagined images that
    are found and two that are not (Agresti & Coull, The American Statistician 1998).
    """
    share = (row.tp + 2) / (row.positives + 4)
    reach = NormalDist().inv_cdf((1 + level) / 2)
    return math.ceil((reach / WITHIN) ** 2 * share * (1 - share))


def describe_absent(absent: Sequence[str]) -> str:
    """Say of which classes nothing is known; "" where there are none."""
    if not absent:
        return ""
    return f"Nothing is known of {list_some(absent, 'and')}: no image here has {'it' if len(absent) == 1 else 'them'}."
