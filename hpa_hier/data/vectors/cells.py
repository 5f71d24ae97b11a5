"""Cells of one sample: rows with the same id become their mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hpa_hier.data.vectors.growing import GrowingRows
from hpa_hier.data.vectors.source import blocks
from hpa_hier.errors import UserError


@dataclass(frozen=True)
class Samples:
    """Rows by sample."""

    ids: tuple[str, ...]  # in the order in which they first come
    values: np.ndarray  # (B, F) float32
    most: int  # rows of the sample that has most


def find_samples(pattern: re.Pattern[str], keys: Sequence[str], place: object) -> tuple[str, ...]:
    """Return the sample's part of each cell's id.

    Args:
        pattern: with one group, which is that part; it begins where the id does.
        keys: ids of cells.
        place: of them, for errors.

    Raises:
        UserError: an id is none that the pattern describes.

    >>> find_samples(re.compile("(.+)_"), ["12_B5_2_7", "12_B5_2_8"], "cells.csv")
    ('12_B5_2', '12_B5_2')
    """
    found = [pattern.match(key) for key in keys]
    missed = [key for key, one in zip(keys, found, strict=True) if not (one and one[1])]
    if missed:
        raise UserError(f"--per {pattern.pattern}: does not fit {len(missed):,} ids of {place}, as {missed[0]!r}")
    return tuple(one[1] for one in found if one)


def average_cells(ids: Sequence[str], values: np.ndarray) -> Samples:
    """Return the mean over the rows of each sample, summed in float64, in memory that does not grow with the rows.

    Args:
        ids: of R rows.
        values: (R, F) float32; a value that is missing in one row is missing in the mean.

    >>> samples = average_cells(["a", "b", "a"], np.array([[1.0], [5.0], [3.0]], np.float32))
    >>> samples.ids, samples.values.tolist(), samples.most
    (('a', 'b'), [[2.0], [5.0]], 2)
    """
    place = {name: number for number, name in enumerate(dict.fromkeys(ids))}
    number = np.fromiter((place[name] for name in ids), np.int64, count=len(ids))
    order = np.argsort(number, kind="stable")
    starts = np.searchsorted(number[order], np.arange(len(place)))
    ends = np.append(starts[1:], len(ids))
    means = GrowingRows(values.shape[1])
    for part in _cut(starts, ends, values.shape[1]):
        some = values[order[starts[part.start] : ends[part.stop - 1]]].astype(np.float64)
        sums = np.add.reduceat(some, starts[part] - starts[part.start], axis=0)
        means.add(sums / (ends - starts)[part, None])
    return Samples(tuple(place), means.finish(), int((ends - starts).max(initial=0)))


def _cut(starts: np.ndarray, ends: np.ndarray, width: int) -> list[slice]:
    """Cut samples into parts whose rows together fill a block."""
    size = next(iter(blocks(int(ends[-1]) if len(ends) else 0, width)), slice(0, 1)).stop
    number = starts // max(1, size)
    edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(starts)]
    return [slice(first, last) for first, last in pairwise(edges) if last > first]
