"""Shard file: the answers for some images, and what was seen on the way; on disk whole and checked, or not at all."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import write_bytes
from hpa_hier.files.faults.arrays import read_npz
from hpa_hier.predict.formats.rows import COLUMNS, Rows
from hpa_hier.predict.tables import Rejected

NO_ROWS = Rows(dict.fromkeys(COLUMNS, ()), (), np.empty((0, 0)))


@dataclass(frozen=True)
class Shard:
    """What became of the images of a shard.

    Attributes:
        rows: answers, in the order of the images.
        rejected: images that could not be read.
        files: sample → its files as they were, answered or rejected.
        doubts: sample → what looks wrong with it, of those with which something does.
        bits: "12 of 16" → how many use little of their file's range.
        stacks: (sections, frames) of the files → how many images.
    """

    rows: Rows
    rejected: tuple[Rejected, ...]
    files: Mapping[str, str]
    doubts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bits: Counter[str] = field(default_factory=Counter)
    stacks: Counter[tuple[int, int]] = field(default_factory=Counter)


def write_shard(path: Path, shard: Shard) -> None:
    """Write a shard; it is on disk when this returns."""
    text = json.dumps(
        {
            "columns": {name: list(values) for name, values in shard.rows.columns.items()},
            "submitted": shard.rows.submitted,
            "rejected": shard.rejected,
            "files": dict(shard.files),
            "doubts": dict(shard.doubts),
            "bits": dict(shard.bits),
            "stacks": [[*depth, count] for depth, count in shard.stacks.items()],
        }
    ).encode()
    packed = io.BytesIO()
    probs = np.ascontiguousarray(shard.rows.probs)
    checked = np.frombuffer(_digest(probs, text), np.uint8)
    np.savez(packed, probs=probs, text=np.frombuffer(text, np.uint8), sha256=checked)
    write_bytes(path, packed.getvalue())


def read_shard(path: Path) -> Shard | None:
    """Read a shard; None where it is damaged or absent."""
    try:
        kept = read_npz(path, "a shard of answers", "it is computed again")
        probs, text, digest = kept["probs"], kept["text"].tobytes(), kept["sha256"].tobytes()
    except (OSError, UserError, KeyError):
        return None
    if digest != _digest(probs, text):
        return None
    found = json.loads(text)
    return Shard(
        Rows(found["columns"], tuple(found["submitted"]), probs),
        tuple(Rejected(*one) for one in found["rejected"]),
        found["files"],
        {sample: tuple(own) for sample, own in found["doubts"].items()},
        Counter(found["bits"]),
        Counter({(sections, frames): count for sections, frames, count in found["stacks"]}),
    )


def _digest(probs: np.ndarray, text: bytes) -> bytes:
    return hashlib.sha256(repr((probs.shape, probs.dtype.str)).encode() + probs.tobytes() + text).digest()
