"""Counts: sums over squares of pixels and histograms, by kernels where there are some."""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import NamedTuple

import cv2
import numpy as np

from hpa_hier.data.images.kernels.switch import SWITCH

_WORD = 8  # bytes that a kernel fetches at a time
_TAPS = 4  # rows that a kernel adds at a time
_LARGEST = 256  # sum of weights of 8-bit pixels that 16 bits hold
_MOST_EXACT = 1 << 16  # sum of weights of 8-bit pixels that OpenCV's 24 bits hold
_HALVED = 2  # side of squares that OpenCV rounds otherwise


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


def shrink(plane: np.ndarray, shape: tuple[int, int], sums: np.ndarray | None = None) -> np.ndarray | None:
    """Shrink a plane as OpenCV's INTER_AREA does, to the same bits; None: no kernel does.

    A kernel does where a pixel of the result is 2ⁿ / m pixels of the plane high, and as wide: then OpenCV's weights and
    sums are exact, and it does not matter in which order they are added.

    Args:
        plane: (H, W); of uint8, else no kernel does.
        shape: (h, w) wanted, no larger.
        sums: of squares of its pixels, of any side; None: there are none yet.
    """
    if SWITCH.kernels is None or plane.dtype != np.uint8 or not plane.flags.c_contiguous:
        return None
    rows, columns = (_find_spans(*sides) for sides in zip(plane.shape, shape, strict=True))
    if rows is None or columns is None or not 1 < rows.total * columns.total <= _MOST_EXACT:
        return None
    side = plane.shape[0] // shape[0]
    if plane.shape == (shape[0] * side, shape[1] * side):
        if side == _HALVED:
            return None
        if sums is not None and sums.shape == shape:
            return np.asarray(cv2.convertScaleAbs(sums.view(np.int32), alpha=1 / side**2))  # rounds halves to even
    small, shift = np.empty(shape, np.uint8), (rows.total * columns.total).bit_length() - 1
    line = np.empty(plane.shape[1], np.uint16)
    SWITCH.kernels.shrink(plane, rows.firsts, rows.weights, columns.firsts, columns.weights, shift, line, small)
    return small


class _Spans(NamedTuple):
    """What of a plane's rows, or columns, each one of a smaller plane covers."""

    firsts: np.ndarray  # (n,) int64, the first that it covers
    weights: np.ndarray  # (n, k) uint16, how much of each from there on; k is a multiple of _TAPS
    total: int  # the weights' sum, the same for each


@lru_cache(64)
def _find_spans(whole: int, part: int) -> _Spans | None:
    """Return what each of `part` rows covers of `whole`; None: sums would not be exact, or they are too few."""
    common = gcd(whole, part)
    total, unit = whole // common, part // common  # a row of the smaller plane is total / unit rows
    taps = -(-(total + unit - 1) // unit // _TAPS) * _TAPS
    if total & (total - 1) or total > _LARGEST or taps > whole:
        return None
    starts = np.arange(part) * total
    firsts = np.minimum(starts // unit, whole - taps)
    edges = (firsts[:, None] + np.arange(taps)) * unit
    weights = np.minimum(starts[:, None] + total, edges + unit) - np.maximum(starts[:, None], edges)
    return _Spans(firsts, np.maximum(weights, 0).astype(np.uint16), total)
