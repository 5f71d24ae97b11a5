"""Mean and standard deviation over the training part, by which samples are normalised."""

from __future__ import annotations

import numpy as np

from hpa_hier.data.pack.pack import ImagePack
from hpa_hier.training.batches.order import Read

_SAMPLED = 1024  # images; the statistics are steady long before that
_IMAGES_AT_ONCE, _VECTORS_AT_ONCE = 64, 4096  # in memory


def channel_statistics(pack: ImagePack, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and standard deviation of each channel, (C,) each, in 0..255.

    Args:
        pack: where the images are.
        rows: of the training part; of a large one, evenly spaced ones are read.

    >>> from types import SimpleNamespace
    >>> pixels = np.array([[[[10]]], [[[20]]]], np.uint8)
    >>> pack = SimpleNamespace(channels=("green",), size=1, images=lambda rows: pixels[rows])
    >>> channel_statistics(pack, np.arange(2))
    (array([15.]), array([5.]))
    """
    sampled = rows[np.linspace(0, len(rows) - 1, min(_SAMPLED, len(rows))).round().astype(np.int64)]
    sums = np.zeros((2, len(pack.channels)))
    for first in range(0, len(sampled), _IMAGES_AT_ONCE):
        images = pack.images(sampled[first : first + _IMAGES_AT_ONCE]).astype(np.float32)
        sums[0] += images.sum(axis=(0, 2, 3), dtype=np.float64)
        sums[1] += np.square(images).sum(axis=(0, 2, 3), dtype=np.float64)
    mean, square = sums / (len(sampled) * pack.size**2)
    return mean, np.sqrt(np.maximum(square - mean**2, 0))


def feature_statistics(read: Read, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and standard deviation of each feature over rows, (F,) float64 each; gaps (NaN) are left out.

    A feature that is the same everywhere has the deviation 1, and one that is missing everywhere the mean 0.

    >>> table = np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0]])
    >>> feature_statistics(table.__getitem__, np.arange(3))
    (array([2., 5.]), array([1., 1.]))
    """
    from sklearn.preprocessing import StandardScaler  # takes a second to import

    scaler = StandardScaler()
    for first in range(0, len(rows), _VECTORS_AT_ONCE):
        with np.errstate(invalid="ignore"):  # a feature that is missing in all rows so far has the mean 0 / 0
            scaler.partial_fit(read(rows[first : first + _VECTORS_AT_ONCE]).astype(np.float64))
        scaler.mean_ = np.nan_to_num(scaler.mean_)  # as NaN it would stay NaN, whatever the next rows hold
    mean, std = scaler.mean_, np.sqrt(np.nan_to_num(scaler.var_))
    return mean, np.where(std > 1e-6 * np.maximum(np.abs(mean), 1e-12), std, 1.0)  # below is float32's rounding
