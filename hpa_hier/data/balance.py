"""Balance: how often each training image is repeated so that rare labels are seen more often."""

from __future__ import annotations

import numpy as np


def repeat_factors(present: np.ndarray, threshold: float = 0.02, most: int = 8) -> np.ndarray:
    """Return how often each image stands in an epoch: more often where its rarest label is rare.

    A label with frequency f gets the factor sqrt(threshold / f), at least 1 and at most `most`; an image gets the
    largest factor among its labels, rounded.

    Args:
        present: (B, L) bool, which labels each image carries.
        threshold: frequency in (0, 1] below which a label is rare.
        most: no image is repeated more often than this.

    Returns:
        (B,) int64, at least 1.

    Source: repeat factor sampling, Gupta, Dollár & Girshick, CVPR 2019.

    >>> repeat_factors(np.array([[True]] + [[False]] * 199))[:2]
    array([2, 1])
    """
    frequency = present.mean(axis=0) if len(present) else np.zeros(present.shape[1])
    factor = np.sqrt(threshold / np.maximum(frequency, np.finfo(float).tiny))
    largest = np.where(present, np.clip(factor, 1.0, most), 1.0).max(axis=1, initial=1.0)
    return np.asarray(np.rint(largest), dtype=np.int64)


def balanced_counts(present: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each label's image count before and after the images are repeated.

    Args:
        present: (B, L) bool.
        factors: (B,) int, from `repeat_factors`.

    Returns:
        Two (L,) int64 arrays.
    """
    return present.sum(axis=0).astype(np.int64), (present * factors[:, None]).sum(axis=0).astype(np.int64)
