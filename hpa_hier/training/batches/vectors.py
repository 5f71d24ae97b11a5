"""Feature vectors of a batch, and their mean and standard deviation over the training part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch

from hpa_hier.models.augment.warp import Draws
from hpa_hier.runs.run import Part
from hpa_hier.training.batches.order import Batch, gather_targets, make_batch

_AT_ONCE = 4096  # vectors read at a time for their statistics


class Vectors(Protocol):
    """What is asked of a pack of vectors, or of kept features."""

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Read (B, F) float32; gaps are NaN."""
        ...


class VectorReader:
    """Reads vectors of a part, which are not varied in training either."""

    def __init__(self, source: Vectors, part: Part) -> None:
        self._source, self._part = source, part

    def read(self, places: np.ndarray) -> Batch:
        """Return the vectors at some places (B,) of the part."""
        vectors = torch.from_numpy(self._source.vectors(self._part.rows[places]))
        return make_batch(vectors, Draws(), gather_targets(self._part, places))

    def start_epoch(self, epoch: int, order: np.ndarray) -> Callable[[slice, int], Batch]:
        """Return what makes a batch of a slice of `order`."""
        return lambda which, number: self.read(order[which])


def feature_statistics(source: Vectors, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and standard deviation of each feature over rows, (F,) float64 each; gaps are left out.

    A feature that is the same everywhere has the deviation 1, and one that is missing everywhere the mean 0.

    >>> from types import SimpleNamespace
    >>> table = np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0]])
    >>> feature_statistics(SimpleNamespace(vectors=lambda rows: table[rows]), np.arange(3))
    (array([2., 5.]), array([1., 1.]))
    """
    from sklearn.preprocessing import StandardScaler  # takes a second to import

    scaler = StandardScaler()
    for first in range(0, len(rows), _AT_ONCE):
        with np.errstate(invalid="ignore"):  # a feature that is missing in all rows so far has the mean 0 / 0
            scaler.partial_fit(source.vectors(rows[first : first + _AT_ONCE]).astype(np.float64))
        scaler.mean_ = np.nan_to_num(scaler.mean_)  # as NaN it would stay NaN, whatever the next rows hold
    mean, std = scaler.mean_, np.sqrt(np.nan_to_num(scaler.var_))
    return mean, np.where(std > 1e-6 * np.maximum(np.abs(mean), 1e-12), std, 1.0)  # below is float32's rounding
