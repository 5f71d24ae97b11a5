"""Samples: the rows of a pack's `samples.csv`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpa_hier.data.labels.ids import is_valid_id
from hpa_hier.errors import UserError
from hpa_hier.files.tables import read_table, write_table

SAMPLES = "samples.csv"
_COLUMNS = ("id", "nodes", "group", "pixels", "filled")
_BETWEEN = "|"  # no node name holds it


@dataclass(frozen=True, slots=True)
class Sample:
    """One packed image without its pixels."""

    id: str
    nodes: tuple[str, ...]  # annotated nodes by name
    group: str  # the antibody or another key; "" where unknown
    pixels: str  # 16 hex digits of the packed pixels; equal ones are duplicates
    filled: tuple[str, ...]  # channels that the image lacks, zeros in the pack


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    """Write `samples.csv`."""
    import pandas as pd

    rows = [(s.id, _BETWEEN.join(s.nodes), s.group, s.pixels, _BETWEEN.join(s.filled)) for s in samples]
    write_table(path, pd.DataFrame(rows, columns=_COLUMNS))


def read_samples(path: Path) -> tuple[Sample, ...]:
    """Read `samples.csv`.

    Raises:
        UserError: it is absent, lacks a column, or holds what is no id.
    """
    frame = read_table(path, _COLUMNS)
    for line, sample_id in enumerate(frame["id"], start=2):
        if not is_valid_id(sample_id):
            raise UserError(f"{path}:{line}: {sample_id!r} is no sample id")
    rows = frame[list(_COLUMNS)].itertuples(index=False)
    return tuple(Sample(i, _parts(nodes), group, pixels, _parts(filled)) for i, nodes, group, pixels, filled in rows)


def pixel_hash(image: np.ndarray) -> str:
    """Return 16 hex digits that differ where any pixel of a (C, S, S) uint8 image does.

    >>> pixel_hash(np.zeros((1, 2, 2), np.uint8))
    '4e842f2f50cc089e'
    """
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).hexdigest()


def _parts(cell: str) -> tuple[str, ...]:
    return tuple(cell.split(_BETWEEN)) if cell else ()
