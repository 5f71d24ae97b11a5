"""Duplicates: samples that share every pixel, and the groups that must stay together because of them or their like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hpa_hier.data.pack.samples import Sample


def find_identical(samples: Sequence[Sample]) -> tuple[tuple[str, ...], ...]:
    """Return the ids of samples whose packed pixels are all alike, one tuple for each such picture."""
    alike: dict[str, list[str]] = {}
    for sample in samples:
        alike.setdefault(sample.pixels, []).append(sample.id)
    return tuple(tuple(ids) for ids in alike.values() if len(ids) > 1)


def join_groups(samples: Sequence[Sample], alike: Sequence[tuple[str, str]] = ()) -> tuple[str, ...]:
    """Return (B,) groups, those joined that hold an identical picture, or two that look alike.

    Joined groups are named after all of them, as in "10580+20011"; twins without a group after their pixels; a sample
    with neither group nor twin has "".

    Args:
        samples: B of them.
        alike: pairs of ids of samples that must stay together besides, such as near-duplicates.
    """
    row_of = {sample.id: row for row, sample in enumerate(samples)} if alike else {}
    keys: dict[tuple[str, str], int] = {}
    edges = [
        (i, keys.setdefault(key, len(keys)))
        for i, sample in enumerate(samples)
        for key in (("group", sample.group), ("pixels", sample.pixels))
        if key[1]
    ]
    B = len(samples)
    size = B + len(keys)
    ends = [(i, B + key) for i, key in edges] + [(row_of[one], row_of[other]) for one, other in alike]
    row, column = (np.array(side, dtype=np.int64) for side in zip(*ends, strict=True))
    graph = coo_array((np.ones(len(ends), dtype=np.int8), (row, column)), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    members: dict[int, list[Sample]] = {}
    for sample, number in zip(samples, component[:B].tolist(), strict=True):
        members.setdefault(number, []).append(sample)
    names = {number: _name(together) for number, together in members.items()}
    return tuple(names[number] for number in component[:B].tolist())


def _name(together: Sequence[Sample]) -> str:
    groups = sorted({sample.group for sample in together if sample.group})
    if groups:
        return "+".join(groups)
    return f"pixels-{together[0].pixels}" if len(together) > 1 else ""
