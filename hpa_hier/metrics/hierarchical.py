"""Hierarchical precision, recall and F1 of label sets, in the forms that HiClass writes: labels, paths, several paths.

On closed arrays the same numbers are `precision`, `recall` and `micro_f1` of pooled counts (`scores`); there, what the
annotation leaves unknown can be left out as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.metrics.scores import Bools, Floats, count, mean_of_defined, micro_f1, precision, ratio, recall, sample_f1

Average: TypeAlias = Literal["micro", "macro"]
_Labels: TypeAlias = Sequence[object] | np.ndarray


def hierarchical_precision(y_true: _Labels, y_pred: _Labels, average: Average = "micro") -> float:
    """Return the share of predicted labels that are true, labels above the most specific ones among them.

    Args:
        y_true: B samples: a label each, a path of labels from the top down, or several paths; `""` and None fill up.
        y_pred: as `y_true`.
        average: micro, Σ|predicted ∩ true| / Σ|predicted|; or macro, the mean over samples, without those for which
            nothing was predicted.

    Raises:
        UserError: the two differ in length, or there is no such average.

    Source: Kiritchenko, Matwin & Famili 2005; Silla & Freitas, Data Mining and Knowledge Discovery 2011. As
    `hiclass.metrics.precision`.

    >>> hierarchical_precision([["Animal", "Mammal", "Cat"]], [["Animal", "Mammal", "Dog"]])
    0.6666666666666666
    """
    present, targets = _encode(y_true, y_pred, average)
    if average == "micro":
        return float(precision(count(present, targets, np.ones_like(present)).pooled()))
    return _mean(ratio(_sum(present & targets), _sum(present)))


def hierarchical_recall(y_true: _Labels, y_pred: _Labels, average: Average = "micro") -> float:
    """Return the share of true labels that are predicted, labels above the most specific ones among them.

    Args:
        y_true: as for `hierarchical_precision`.
        y_pred: as `y_true`.
        average: micro, Σ|predicted ∩ true| / Σ|true|; or macro, the mean over samples, without those that have none.

    Raises:
        UserError: as `hierarchical_precision`.

    Source: as `hierarchical_precision`.

    >>> hierarchical_recall([["Animal", "Mammal", "Cat"]], [["Animal", "Mammal", ""]])
    0.6666666666666666
    """
    present, targets = _encode(y_true, y_pred, average)
    if average == "micro":
        return float(recall(count(present, targets, np.ones_like(present)).pooled()))
    return _mean(ratio(_sum(present & targets), _sum(targets)))


def hierarchical_f1(y_true: _Labels, y_pred: _Labels, average: Average = "micro") -> float:
    """Return the harmonic mean of hierarchical precision and recall.

    Args:
        y_true: as for `hierarchical_precision`.
        y_pred: as `y_true`.
        average: micro, of the sums over samples; or macro, the mean of each sample's F1.

    Raises:
        UserError: as `hierarchical_precision`.

    Source: as `hierarchical_precision`.

    >>> hierarchical_f1([["Animal", "Mammal", "Cat"]], [["Animal", "Mammal", ""]])
    0.8
    """
    present, targets = _encode(y_true, y_pred, average)
    if average == "micro":
        return float(micro_f1(count(present, targets, np.ones_like(present))))
    return _mean(sample_f1(present, targets, np.ones_like(present)))


def _encode(y_true: _Labels, y_pred: _Labels, average: str) -> tuple[Bools, Bools]:
    """Return (B, K) which of the K labels in either is predicted for each sample, and which is true."""
    if average not in ("micro", "macro"):
        raise UserError(f"average: there is no {average!r}; choose micro or macro")
    if len(y_true) != len(y_pred):
        raise UserError(
            f"y_true has {len(y_true):,} samples and y_pred {len(y_pred):,}; give those of the same samples"
        )
    sets = [[set(_labels(row)) for row in one] for one in (y_pred, y_true)]
    column: dict[object, int] = {}
    for labels in (label for one in sets for row in one for label in row):
        column.setdefault(labels, len(column))
    present, targets = (np.zeros((len(y_true), len(column)), bool) for _ in sets)
    for rows, filled in zip(sets, (present, targets), strict=True):
        for i, row in enumerate(rows):
            filled[i, [column[label] for label in row]] = True
    return present, targets


def _labels(row: object) -> Iterator[object]:
    """Yield the labels of a sample, however deep they are nested; not what only fills up."""
    if isinstance(row, Iterable) and not isinstance(row, str):
        for inner in row:
            yield from _labels(inner)
    elif not (row is None or row == "" or row != row):
        yield row


def _sum(present: Bools) -> Floats:
    return np.asarray(present.sum(axis=1), dtype=np.float64)


def _mean(values: Floats) -> float:
    return float(mean_of_defined(values))
