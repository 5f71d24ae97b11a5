"""Confusions: what is mistaken for what, in words and as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpa_hier.evaluate.figures.confusion_matrix import leaf_confusion
from hpa_hier.evaluate.gallery.pictures import data_uri
from hpa_hier.files.tables import safe_cell
from hpa_hier.metrics.confusion import Confusion, Counts
from hpa_hier.runs.evaluation import Evaluation

_NAMED = 3  # classes in a sentence
_ROWS = 60  # of the table in the page; the file has all


@dataclass(frozen=True)
class Mistake:
    """One label that is called in place of another."""

    true: str
    called: str
    certain: int  # images with these two mistakes alone
    possible: int  # images with more
    count: float  # with the shares of the latter
    positives: int  # images that carry the true one


@dataclass(frozen=True)
class Confusions:
    """What the section shows."""

    mistakes: tuple[Mistake, ...]  # most frequent first
    more: int  # that are left out
    samples: int
    swaps: int  # images in which something was missed and something else called
    file: str  # data URI of the whole matrix as CSV
    anchors: Mapping[str, str]  # of the classes that have a part of their own in the page


def list_confusions(evaluation: Evaluation, anchors: Mapping[str, str]) -> Confusions:
    """Collect what the section shows."""
    confusion, names = leaf_confusion(evaluation), evaluation.taxonomy.leaves
    leaves = evaluation.leaf_columns
    present, targets, known = (
        part[:, leaves] for part in (evaluation.ensemble.present, evaluation.targets, evaluation.known)
    )
    swapped = (targets & ~present & known).any(axis=1) & (present & ~targets & known).any(axis=1)
    mistakes = sort_mistakes(confusion, names)
    return Confusions(
        mistakes=mistakes[:_ROWS],
        more=max(0, len(mistakes) - _ROWS),
        samples=len(evaluation.ids),
        swaps=int(swapped.sum()),
        file=data_uri("text/csv", write_matrix(confusion, names).encode("utf-8")),
        anchors=anchors,
    )


def sort_mistakes(confusion: Confusion, names: Sequence[str]) -> tuple[Mistake, ...]:
    """List every pair of labels of which one is called in place of the other, most frequent first."""
    counts = confusion.swapped
    order = np.lexsort((-confusion.certain.ravel(), -counts.ravel()))
    pairs = (divmod(int(k), len(names)) for k in order[: np.count_nonzero(counts)])
    return tuple(
        Mistake(
            names[i],
            names[j],
            int(confusion.certain[i, j]),
            int(confusion.possible[i, j]),
            float(counts[i, j]),
            int(confusion.positives[i]),
        )
        for i, j in pairs
    )


def write_matrix(confusion: Confusion, names: Sequence[str]) -> str:
    """Write the whole matrix as CSV: rows annotated, columns called, a row and a column for nothing."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["annotated \\ called", *map(safe_cell, names), "(nothing called)"])
    for name, row in zip([*names, "(nothing missed)"], confusion.matrix(), strict=True):
        table.writerow([safe_cell(name), *(f"{count:.6g}" for count in row)])
    return text.getvalue()


def describe_mistakes(confusion: Confusion, names: Sequence[str], label: int) -> tuple[str, ...]:
    """Say what a class is mistaken for and what is mistaken for it; nothing where there are no mistakes.

    Only what is certain is counted as a mistake for another class: images where one label is missed and one is added.
    Where several are, nobody can say which was taken for which, and the sentence says "perhaps".
    """
    name, bare = names[label], (int(confusion.bare_missed[label]), int(confusion.bare_added[label]))
    sentences = (
        *_describe(f"{name} is", "mistaken for", confusion.certain[label], confusion.possible[label], names),
        f"{name} is missed {count_times(bare[0])} with nothing called in its place." if bare[0] else "",
        *_describe(
            f"{name} is", "called in place of", confusion.certain[:, label], confusion.possible[:, label], names
        ),
        f"{name} is added {count_times(bare[1])} where nothing is missed." if bare[1] else "",
    )
    return tuple(sentence for sentence in sentences if sentence)


def _describe(start: str, verb: str, certain: Counts, possible: Counts, names: Sequence[str]) -> tuple[str, str]:
    """Return a sentence on what is certain and one on what is possible beyond that; "" for none."""
    several = "where several labels are wrong"
    sure, perhaps = (_list_most(counts, names) for counts in (certain, possible))
    return (
        f"{start} {verb} {sure}." if sure else "",
        f"{start} perhaps {verb} {perhaps}, {several}." if perhaps and not sure else "",
    )


def _list_most(counts: Counts, names: Sequence[str]) -> str:
    """List the classes of the largest counts, as in "Vesicles 9 times, Cytosol once and 2 more"; "" where all are 0."""
    there = [int(j) for j in np.argsort(-counts, kind="stable") if counts[j]]
    named = [f"{names[j]} {count_times(int(counts[j]))}" for j in there[:_NAMED]]
    rest = len(there) - _NAMED
    return ", ".join(named) + (f" and {rest} other{'s' if rest > 1 else ''} more rarely" if rest > 0 else "")


def count_times(count: int) -> str:
    """Say how often.

    >>> count_times(1), count_times(2), count_times(1200)
    ('once', 'twice', '1,200 times')
    """
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")
