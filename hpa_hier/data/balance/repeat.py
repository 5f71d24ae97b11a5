"""Balance: how often each training image is seen, and which are mixed, so that rare labels are seen more often."""

from __future__ import annotations

import numpy as np


def repeat_factors(present: np.ndarray, threshold: float = 0.02, most: int = 8) -> np.ndarray:
    """Return how often each image appears in an epoch: more often where its rarest label is rare.

    A label with frequency f gets the factor sqrt(threshold / f), at least 1 and at most `most`; an image gets the
    largest factor among its labels `present` (B, L), rounded: (B,) int64.

    Source: repeat factor sampling, Gupta, Dollár & Girshick, CVPR 2019.

    >>> repeat_factors(np.array([[True]] + [[False]] * 199))[:2]
    array([2, 1])
    """
    frequency = present.mean(axis=0) if len(present) else np.zeros(present.shape[1])
    factor = np.sqrt(threshold / np.maximum(frequency, np.finfo(float).tiny))
    largest = np.where(present, np.clip(factor, 1.0, most), 1.0).max(axis=1, initial=1.0)
    return np.asarray(np.rint(largest), dtype=np.int64)


def balanced_counts(present: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (L,) int64 images of each label before and after images with labels `present` (B, L) are repeated.

    >>> balanced_counts(np.array([[True, False], [True, True]]), np.array([1, 3]))
    (array([2, 1]), array([4, 3]))
    """
    return present.sum(axis=0).astype(np.int64), (present * factors[:, None]).sum(axis=0).astype(np.int64)


def copy_factors(present: np.ndarray, target: int) -> np.ndarray:
    """Return how often each image appears when every rare label is copied to the target, whatever else that copies.

    What is usually done, kept for comparison: an image of a label with n < target images appears target / n times,
    rounded up, by its rarest label of `present` (B, L): (B,) int64. Labels beside the rare one are copied with it.

    >>> copy_factors(np.array([[True, True], [True, False], [True, False]]), target=3)
    array([3, 1, 1])
    """
    counts = present.sum(axis=0)
    factor = np.ceil(target / np.maximum(counts, 1))
    return np.asarray(np.where(present, np.maximum(factor, 1), 1).max(axis=1, initial=1), dtype=np.int64)


def epoch_copies(weights: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return how often each image appears in one epoch that is drawn by weights.

    Systematic drawing: weights are first rescaled to a whole sum, by half an image an epoch at most; then an image of
    weight w appears floor(w) or ceil(w) times, on average w times, and every epoch has the same number of images. So
    nothing is left to chance that need not be: drawing with replacement would leave out a third of the images.

    Args:
        weights: (B,) float, at least 0 and not all 0, how often each image is to appear in an epoch on average.
        generator: of the epoch; the same one gives every process the same epoch.

    Source: systematic resampling, Carpenter, Clifford & Fearnhead, IEE Proceedings 1999.

    >>> epoch_copies(np.array([1.0, 2.5, 0.5]), np.random.default_rng(0)).tolist()
    [1, 3, 0]
    """
    ends = np.cumsum(weights, dtype=np.float64)
    total = round(float(ends[-1]))
    ends *= total / ends[-1]
    ends[-1] = total
    return np.diff(np.floor(ends + generator.random()), prepend=0.0).astype(np.int64)


def partner_weights(factors: np.ndarray) -> np.ndarray:
    """Return the probability with which each image is the partner when a repeated image is mixed with another.

    Partners are drawn as the plan's additional copies are, so a mixed image carries two draws of labels that the plan
    wanted more of: no label grows by more than twice what the plan lets it grow by, and a label that the plan does not
    repeat does not grow at all.

    Of a plan's factors (B,), at least 1: (B,) float64 that sum to 1, all alike where the plan repeats nothing.

    >>> partner_weights(np.array([1, 2, 4])).tolist()
    [0.0, 0.25, 0.75]
    """
    extra = np.asarray(factors, dtype=np.float64) - 1.0
    return extra / extra.sum() if extra.sum() > 0 else np.full(len(extra), 1.0 / max(len(extra), 1))
