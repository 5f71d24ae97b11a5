"""Magnification: an image scored whole, and in tiles that show less of it and all of its detail."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.metrics.arrays import Bools, Floats

WHOLE = (1.0,)  # the whole image alone
_MOST = 8.0


class Tiles(NamedTuple):
    """Tiles of B images at one magnification, n each."""

    images: np.ndarray  # (B, n, C, S, S) uint8
    seen: Bools  # (B, n) False where a tile is nothing but padding


def check_scales(scales: Sequence[float]) -> tuple[float, ...]:
    """Return magnifications in order, each once.

    Raises:
        UserError: none is given, or one is not from 1, the whole image, to 8.
    """
    for scale in scales:
        if not 1 <= scale <= _MOST:
            raise UserError(f"--scales: must be from 1, the whole image, to {_MOST:g}, got {scale:g}")
    if not scales:
        raise UserError("--scales: no magnification; 1 is the whole image")
    return tuple(sorted(set(scales)))


def magnified_side(size: int, scale: float) -> int:
    """Return the side in pixels at which an image is read whose tiles have the side `size`."""
    return round(size * scale)


def cut_tiles(image: np.ndarray, size: int) -> np.ndarray:
    """Cut an image (C, T, T) into as few tiles as cover it, (n, C, S, S), evenly spaced, S the `size`.

    >>> cut_tiles(np.arange(9).reshape(1, 3, 3), 2)[:, 0].tolist()
    [[[0, 1], [3, 4]], [[1, 2], [4, 5]], [[3, 4], [6, 7]], [[4, 5], [7, 8]]]
    """
    side = image.shape[-1]
    places = np.rint(np.linspace(0, side - size, math.ceil(side / size))).astype(int)
    return np.stack([image[:, top : top + size, left : left + size] for top in places for left in places])


def stack_tiles(images: Sequence[Sequence[np.ndarray]], protein: int) -> Iterator[Tiles]:
    """Yield the tiles of a batch for one magnification after another.

    Args:
        images: of each image, its tiles (n, C, S, S) at each magnification.
        protein: place of its channel along axis C; where it is zero everywhere there is padding.
    """
    for tiles in zip(*images, strict=True):
        stacked = np.stack(tiles)
        yield Tiles(stacked, np.asarray(stacked[:, :, protein].any(axis=(2, 3))))


def merge_tiles(logits: Floats, seen: Bools) -> Floats:
    """Merge the logits (B, n, N) of an image's tiles into one, (B, N): the logarithm of their mean odds.

    A place that few tiles show lifts an image nearly as if all did, as it does for people who look. Tiles that are not
    `seen` have no say, unless there are no others.

    >>> merge_tiles(np.array([[[0.0], [0.0]], [[0.0], [5.0]]]), np.ones((2, 2), bool)).round(2).ravel().tolist()
    [0.0, 4.31]
    """
    heard = seen | ~seen.any(axis=1, keepdims=True)
    odds = np.where(heard[:, :, None], logits, -np.inf)
    top = odds.max(axis=1, keepdims=True)
    total = np.zeros_like(top[:, 0])
    for tile in np.moveaxis(np.exp(odds - top), 1, 0):  # one by one: the same to the last bit in any batch
        total = total + tile
    return np.asarray(top[:, 0] + np.log(total / heard.sum(axis=1, keepdims=True)))
