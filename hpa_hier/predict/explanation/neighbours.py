"""Neighbours: the training samples that are most like a sample to a member, with their labels."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hpa_hier.data.pack.pack import Pack
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import text_digest, write_bytes
from hpa_hier.files.faults.leftovers import sweep
from hpa_hier.runs.run import Run

FILE = "neighbours.safetensors"  # beside the ensemble
_FORMAT = "1"  # part of its digest; raised when the features are made otherwise
_AT_ONCE = 256  # samples of the pack in memory
_BLOCK = 4096  # rows of features that are compared at a time
_SPARE = 4  # more than asked for, so that copies of the sample itself can be left out

Describe = Callable[[np.ndarray], np.ndarray]  # samples → (B, G) float32 of length 1


@dataclass(frozen=True)
class Neighbour:
    """A training sample that is like the one asked about."""

    id: str
    labels: tuple[str, ...]  # annotated nodes
    similarity: float  # cosine of the two samples' features, -1 to 1
    pixels: np.ndarray | None = None  # (C, S, S) uint8 as members take it; None: it is no image, or not there

    def to_json(self) -> dict[str, Any]:
        """Return it without its pixels."""
        return {"id": self.id, "labels": list(self.labels), "similarity": self.similarity}


@dataclass(frozen=True)
class Neighbours:
    """The training samples nearest to one sample."""

    member: str  # whose features say what is alike
    found: tuple[Neighbour, ...]  # nearest first
    absent: str = ""  # a sentence on why there are none

    def to_json(self) -> dict[str, Any]:
        """Return what was found, or why nothing was."""
        found = [one.to_json() for one in self.found]
        return {"member": self.member, "absent": self.absent or None, "found": found}


@dataclass(frozen=True)
class TrainingSamples:
    """The samples that a run's members learned from, as one member sees them."""

    run: Run
    member: str
    member_digest: str  # SHA-256 of its member.json
    describe: Describe

    @cached_property
    def pack(self) -> Pack:
        """The pack that holds them.

        Raises:
            UserError: it is not there, or not the one that the members were trained on.
        """
        if not self.run.ensemble.about.get("adapted"):
            self.run.check_pack(self.run.check_unchanged(self.run.ensemble))
        return self.run.pack

    @cached_property
    def rows(self) -> np.ndarray:
        """Rows (T,) of the pack: the training part, all that are in a fold, or of an adapted run all samples."""
        if self.run.ensemble.about.get("adapted"):
            return np.arange(len(self.pack))
        split = self.run.split
        inside = np.array(split.folds) >= 0 if split.fold_count else np.array(split.parts) == "train"
        return self.pack.find_rows([split.ids[i] for i in np.flatnonzero(inside)])

    @cached_property
    def features(self) -> np.ndarray:
        """(T, G) float16 of length 1: those that are kept beside the ensemble, else computed and kept there."""
        path, digest = self.run.ensemble_folder / FILE, self._digest
        kept = _read(path, digest, len(self.rows))
        if kept is not None:
            return kept
        print(f"'{self.member}' looks at {len(self.rows):,} training samples, once, for {path}", file=sys.stderr)
        parts = [
            self.describe(self.pack.read(self.rows[first : first + _AT_ONCE])).astype(np.float16)
            for first in range(0, len(self.rows), _AT_ONCE)
        ]
        features = np.concatenate(parts)
        _write(path, digest, features)
        return features

    @property
    def _digest(self) -> str:
        order = text_digest(*map(str, self.rows.tolist()))
        return text_digest(_FORMAT, self.member, self.member_digest, self.pack.digest, order)

    def find(self, samples: np.ndarray, count: int) -> tuple[Neighbours, ...]:
        """Find the training samples nearest to samples, which themselves are left out where they are among them.

        Args:
            samples: (B, C, S, S) uint8 images, or (B, F) float32 vectors.
            count: how many for each.
        """
        nearest, cosines = find_nearest(self.describe(samples), self.features, count + _SPARE)
        return tuple(
            Neighbours(self.member, self._name(sample, rows, similar)[:count])
            for sample, rows, similar in zip(samples, nearest, cosines, strict=True)
        )

    def _name(self, sample: np.ndarray, found: np.ndarray, cosines: np.ndarray) -> tuple[Neighbour, ...]:
        rows = self.rows[found]
        values = self.pack.read(rows)
        return tuple(
            Neighbour(self.pack.ids[row], self.pack.nodes[row], float(cosine), one if one.ndim == 3 else None)
            for row, one, cosine in zip(rows, values, cosines, strict=True)
            if not np.array_equal(one, sample, equal_nan=one.ndim == 1)
        )


def find_nearest(features: np.ndarray, others: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Find which of many vectors are nearest to some, by their cosine.

    Args:
        features: (B, G) float32 of length 1.
        others: (T, G) of length 1, any float; read block by block.
        count: how many are wanted, fewer where there are fewer.

    Returns:
        (B, K) rows of `others`, nearest first, and their cosines; of the same, the first comes first.

    >>> find_nearest(np.eye(2, dtype=np.float32)[:1], np.eye(2, dtype=np.float16), 1)
    (array([[0]]), array([[1.]], dtype=float32))
    """
    blocks = [others[first : first + _BLOCK].astype(np.float32) for first in range(0, len(others), _BLOCK)]
    cosines = np.concatenate([features @ block.T for block in blocks], axis=1)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(cosines, order, axis=1)


def _read(path: Path, digest: str, samples: int) -> np.ndarray | None:
    """Return the features that a file keeps under a digest; None: it is not there, damaged, or keeps others."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            if (file.metadata() or {}).get("digest") != digest:
                return None
            features = file.get_tensor("features")
    except (OSError, SafetensorError):
        return None
    return np.asarray(features) if features.ndim == 2 and len(features) == samples else None


def _write(path: Path, digest: str, features: np.ndarray) -> None:
    """Keep features, whole or not at all; in a folder that cannot be written to, they are computed again next time."""
    from safetensors.numpy import save

    try:
        sweep(path.parent, path.stem)  # of a killed process that kept the same
        write_bytes(path, save({"features": features}, {"digest": digest}))
    except OSError as error:
        print(f"{path}: is not kept ({error.strerror})", file=sys.stderr)


def say_why_not(error: UserError, run: Run) -> str:
    """Return why a run's training samples cannot be shown."""
    if run.facts is None and not run.ensemble.about.get("adapted"):
        return "The images that this ensemble learned from did not come with it."
    return f"The images that this ensemble learned from cannot be shown: {error}"
