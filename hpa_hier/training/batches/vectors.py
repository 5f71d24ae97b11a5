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
    from sklearn.preprocessing import StandardScaler  # takes a second to import

    scaler = StandardScaler()
    for first in range(0, len(rows), _AT_ONCE):
        with np.errstate(invalid="ignore"):  # a feature that is missing in all rows so far has the mean 0 / 0
            scaler.partial_fit(pack.vectors(rows[first : first + _AT_ONCE]).astype(np.float64))
        scaler.mean_ = np.nan_to_num(scaler.mean_)  # as NaN it would stay NaN, whatever the next rows hold
    mean, std = scaler.mean_, np.sqrt(np.nan_to_num(scaler.var_))
    return mean, np.where(std > 1e-6 * np.maximum(np.abs(mean), 1e-12), std, 1.0)  # below is float32's rounding
