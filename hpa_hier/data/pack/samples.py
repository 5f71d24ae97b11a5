"""Samples: the rows of a pack's `samples.csv`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hpa_hier.files.csv_file import csv_text

HEADER = ("id", "nodes", "group", "pixels", "filled")
_BETWEEN = "|"  # no node name holds it


@dataclass(frozen=True)
class Sample:
    """One packed image without its pixels."""

    id: str
    nodes: tuple[str, ...]  # annotated nodes by name
    group: str  # the antibody or another key; "" where unknown
    pixels: str  # 16 hex digits of the packed pixels; equal ones are duplicates
    filled: tuple[str, ...]  # channels that the image lacks, zeros in the pack

    @classmethod
    def of(cls, row: Sequence[str]) -> Sample:
        """Make a sample of a row of `samples.csv`."""
        sample_id, nodes, group, pixels, filled = row
        return cls(sample_id, _parts(nodes), group, pixels, _parts(filled))


def samples_csv(samples: Iterable[Sample]) -> str:
    """Return the text of `samples.csv`."""
    return csv_text(
        HEADER,
        ((s.id, _BETWEEN.join(s.nodes), s.group, s.pixels, _BETWEEN.join(s.filled)) for s in samples),
    )


def pixel_hash(image: np.ndarray) -> str:
    """Return 16 hex digits that differ where any pixel of a (C, S, S) uint8 image does."""
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).hexdigest()


def _parts(cell: str) -> tuple[str, ...]:
    return tuple(cell.split(_BETWEEN)) if cell else ()
