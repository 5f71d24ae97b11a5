"""Intensity: mean and standard deviation of each channel over the training part."""

from __future__ import annotations

import numpy as np

from hpa_hier.training.batches.images import Images

_SAMPLED = 1024  # images; the statistics are steady long before that
_AT_ONCE = 64  # images in memory


def channel_statistics(pack: Images, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
    places = np.linspace(0, len(rows) - 1, min(_SAMPLED, len(rows))).round().astype(np.int64)
    sampled = rows[places]
    sums = np.zeros((2, len(pack.channels)))
    for first in range(0, len(sampled), _AT_ONCE):
        images = pack.images(sampled[first : first + _AT_ONCE]).astype(np.float32)
        sums[0] += images.sum(axis=(0, 2, 3), dtype=np.float64)
        sums[1] += np.square(images).sum(axis=(0, 2, 3), dtype=np.float64)
    mean, square = sums / (len(sampled) * pack.size**2)
    return mean, np.sqrt(np.maximum(square - mean**2, 0))
