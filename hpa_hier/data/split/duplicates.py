"""Duplicates: samples that share every pixel, and the groups that must stay together because of them or their like."""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx

from hpa_hier.data.pack.samples import Sample
from hpa_hier.data.split.near_duplicates import NearPair


def find_identical(samples: Sequence[Sample]) -> tuple[tuple[str, ...], ...]:
    """Return the ids of samples whose packed pixels are all alike, one tuple for each such image."""
    alike: dict[str, list[str]] = {}
    for sample in samples:
        alike.setdefault(sample.pixels, []).append(sample.id)
    return tuple(tuple(ids) for ids in alike.values() if len(ids) > 1)


def join_groups(samples: Sequence[Sample], alike: Sequence[NearPair] = ()) -> tuple[str, ...]:
    """Return (B,) groups, joined where they share an identical image, or hold two that look alike.

    Joined groups are named after all of them, as in "10580+20011"; identical images without a group after their
    pixels; a sample with neither group nor duplicate has "".

    Args:
        samples: B of them.
        alike: pairs of samples that must stay together besides.

    >>> cells = [Sample("a", (), "1", "x", ()), Sample("b", (), "", "x", ()), Sample("c", (), "2", "y", ())]
    >>> join_groups(cells), join_groups(cells, [NearPair("b", "c", bits=3, turn=0, likeness=0.9)])
    (('1', '1', '2'), ('1+2', '1+2', '1+2'))
    """
    row_of = {sample.id: row for row, sample in enumerate(samples)}
    graph = nx.Graph((row_of[pair.id], row_of[pair.other]) for pair in alike)
    for row, sample in enumerate(samples):  # joined through what they share
        graph.add_edge(row, ("pixels", sample.pixels))
        if sample.group:
            graph.add_edge(row, ("group", sample.group))
    groups = [""] * len(samples)
    for component in nx.connected_components(graph):
        rows = sorted(node for node in component if isinstance(node, int))
        for row in rows:
            groups[row] = _name([samples[row] for row in rows])
    return tuple(groups)


def _name(together: Sequence[Sample]) -> str:
    groups = sorted({sample.group for sample in together if sample.group})
    if groups:
        return "+".join(groups)
    return f"pixels-{together[0].pixels}" if len(together) > 1 else ""
