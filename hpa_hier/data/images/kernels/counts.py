"""Counts: sums over squares of pixels and histograms, by kernels where there are some."""

from __future__ import annotations

import cv2
import numpy as np

from hpa_hier.data.images.kernels.switch import SWITCH

_WORD = 8  # bytes that a kernel fetches at a time


def count_values(plane: np.ndarray) -> np.ndarray:
    """Return how many pixels have each value.

    Args:
        plane: (H, W) uint8 or uint16.

    Returns:
        (256,) or (65536,), whole numbers.

    >>> np.flatnonzero(count_values(np.array([[3, 3, 200]], np.uint8))).tolist()
    [3, 200]
    """
    there = 1 << plane.dtype.itemsize * 8
    plane = np.ascontiguousarray(plane)
    if SWITCH.kernels and plane.dtype == np.uint8:
        counts, values = np.zeros((_WORD, there), np.uint32), plane.reshape(-1)
        whole = values.size // _WORD * _WORD
        words = values[:whole].view(np.uint64)
        SWITCH.kernels.count(words if words.flags.aligned else words.copy(), counts)
        if whole < values.size:
            np.add.at(counts[0], values[whole:], 1)
        return np.asarray(counts.sum(axis=0))
    return np.asarray(cv2.calcHist([plane], [0], None, [there], (0, there))).ravel()


def sum_squares(plane: np.ndarray, side: int) -> np.ndarray | None:
    """Return the sums of squares of pixels; None: no kernel sums them.

    Args:
        plane: (H, W) uint8 or uint16.
        side: of a square, pixels; one that H and W are no multiples of is left to OpenCV.

    Returns:
        (H / side, W / side) uint32.
    """
    if SWITCH.kernels is None or plane.dtype != np.uint8 or not plane.flags.c_contiguous:
        return None
    H, W = plane.shape
    if H % side or W % side:
        return None
    sums = np.zeros((H // side, W // side), np.uint32)
    SWITCH.kernels.sum_squares(plane, side, np.empty(W, np.uint32), sums)
    return sums


def average_squares(plane: np.ndarray, shape: tuple[int, int], sums: np.ndarray | None) -> np.ndarray | None:
    """Shrink a plane by whole squares as OpenCV's INTER_AREA does, to the same bits; None: no kernel does.

    Args:
        plane: (H, W) uint8 or uint16.
        shape: (h, w) wanted, smaller.
        sums: of squares of its pixels, of any side; None: there are none yet.
    """
    side = plane.shape[0] // shape[0]
    exact = side & (side - 1) == 0  # else 1 / side² is rounded, and then it matters in which order it is multiplied
    if side < 3 or not exact or plane.shape != (shape[0] * side, shape[1] * side):  # OpenCV rounds 2 × 2 otherwise
        return None
    if sums is None or sums.shape != shape:
        sums = sum_squares(plane, side)
    return None if sums is None else np.rint(sums.astype(np.float32) * np.float32(1 / side**2)).astype(plane.dtype)
