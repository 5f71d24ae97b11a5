"""Batches of feature vectors: in the same order as images would come, and never varied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import torch

from hpa_hier.runs.part import Part
from hpa_hier.training.batches.images import Batch, BatchSampling, PartBatches, TrainingBatches, gather_targets

_AT_ONCE = 4096  # vectors read at a time for their statistics


class Vectors(Protocol):
    """What is asked of a pack of vectors, or of kept features."""

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Read (B, F) float32; gaps are NaN."""
        ...


class VectorTrainingBatches(TrainingBatches):
    """Epoch after epoch of training batches, dealt as `TrainingBatches` deals images."""

    def __init__(self, pack: Vectors, part: Part, factors: np.ndarray, dealing: BatchSampling) -> None:
        self._vectors = pack
        self._share_out(part, factors, dealing)

    def _maker(self, epoch: int, order: np.ndarray) -> Callable[[slice], Batch]:
        def make(which: slice) -> Batch:
            places = order[which]
            vectors = torch.from_numpy(self._vectors.vectors(self._part.rows[places]))
            return Batch(vectors, None, None, *gather_targets(self._part, places))

        return make


class VectorPartBatches(PartBatches):
    """One part in its own order, each sample once, as `PartBatches` deals images."""

    def __init__(self, pack: Vectors, part: Part, batch_size: int, world: int = 1) -> None:
        self._vectors = pack
        self._share_out(part, batch_size, world)

    def __iter__(self) -> Iterator[Batch]:
        for places in self._places():
            vectors = torch.from_numpy(self._vectors.vectors(self._part.rows[places]))
            yield Batch(vectors, None, None, *gather_targets(self._part, places))


def feature_statistics(pack: Vectors, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and standard deviation of each feature over rows, (F,) float64 each; gaps are left out.

    A feature that is the same everywhere has the deviation 1, and one that is missing everywhere the mean 0.
    """
    total, square, count = 0.0, 0.0, 0.0
    shift: np.ndarray | None = None
    for first in range(0, len(rows), _AT_ONCE):
        vectors = pack.vectors(rows[first : first + _AT_ONCE]).astype(np.float64)
        if shift is None:  # sums about a typical value, for features far from zero would lose their spread in rounding
            shift = np.nan_to_num(vectors[0])
        told = ~np.isnan(vectors)
        away = np.where(told, vectors - shift, 0.0)
        total, square, count = total + away.sum(axis=0), square + (away**2).sum(axis=0), count + told.sum(axis=0)
    mean = total / np.maximum(count, 1)
    std = np.sqrt(np.maximum(square / np.maximum(count, 1) - mean**2, 0))
    mean = np.where(count > 0, mean + (0.0 if shift is None else shift), 0.0)
    return mean, np.where(std > 1e-6 * np.maximum(np.abs(mean), 1e-12), std, 1.0)
