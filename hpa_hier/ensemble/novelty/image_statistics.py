"""Image statistics: brightness, detail, lines and likeness of an image's channels, a number each, with names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from math import sqrt
from typing import NamedTuple

import cv2
import numpy as np

from hpa_hier.metrics.arrays import Floats

_LEAST_SIDE = 8  # pixels; below it a channel is no longer halved
_COARSE = 3  # level of the pyramid, of 8 pixels; the coarser of the two at which channels are compared
_SATURATED = 250  # of 255
_FLOOR = 0.5  # grey levels, half of what 8 bits resolve; keeps the logarithm of no detail finite


def name_statistics(channels: Sequence[str], size: int) -> tuple[str, ...]:
    """Name the columns of `describe_images` for images of `size` pixels a side.

    >>> name_statistics(("green",), 16)
    ('green: brightness', 'green: black', 'green: saturated', 'green: lines', 'green: detail 1', 'green: detail 2')
    """
    kinds = ["brightness", "black", "saturated", "lines", *(f"detail {1 << k}" for k in range(_count_levels(size)))]
    own = [f"{channel}: {kind}" for channel in channels for kind in kinds]
    levels = _compared_levels(size)
    pairs = [f"{one} and {other}: likeness {1 << k}" for one, other in combinations(channels, 2) for k in levels]
    return (*own, *pairs)


def describe_images(images: np.ndarray, channels: Sequence[str], missing: Sequence[Sequence[str]] = ()) -> Floats:
    """Describe images in numbers that do not depend on what is where in them, but on how they were taken.

    Of each channel: the logarithm of the mean, the roots of the shares of black and of saturated pixels, how far
    gradients agree on a direction, and the logarithm of the contrast at each scale of a Laplacian pyramid. Of each two
    channels: Fisher's z of their correlation, pixel by pixel and in coarse.

    Args:
        images: (B, C, S, S) uint8 as members take them.
        channels: names along axis C.
        missing: for each image, the channels that it lacks; their columns are NaN. (): none lacks any.

    Returns:
        (B, F) float64, columns as `name_statistics`; a row does not depend on the other images.

    Source: the pyramid is Burt & Adelson's, IEEE Transactions on Communications 1983.

    >>> describe_images(np.zeros((1, 1, 16, 16), np.uint8), ("green",)).round(2)
    array([[ 0.  ,  1.  ,  0.  ,  0.  , -0.69, -0.69]])
    """
    size = images.shape[-1]
    rows = np.empty((len(images), len(name_statistics(channels, size))))
    for row, image in enumerate(images):
        lacking = {*missing[row]} if len(missing) else set()
        rows[row] = _describe(image, [channel not in lacking for channel in channels])
    return rows


def _count_levels(size: int) -> int:
    levels = 1
    while size > _LEAST_SIDE:
        size = (size + 1) // 2
        levels += 1
    return levels


def _compared_levels(size: int) -> list[int]:
    """Return the levels of the pyramid at which channels are compared: pixel by pixel, and in coarse."""
    return sorted({0, min(_COARSE, _count_levels(size) - 1)})


def _describe(image: np.ndarray, there: Sequence[bool]) -> list[float]:
    """Return one image's statistics; `there` says of each channel whether the image has it."""
    levels = _count_levels(image.shape[-1])
    compared = _compared_levels(image.shape[-1])
    row: list[float] = []
    centred: list[list[_Centred]] = []  # each channel that is there, at each compared level
    for plane, has in zip(image, there, strict=True):
        pyramid = _pyramid(plane.astype(np.float32), levels) if has else []
        centred.append([_centre(pyramid[k]) for k in compared] if has else [])
        row += _describe_channel(plane, pyramid, centred[-1][0].mean) if has else [np.nan] * (4 + levels)
    for one, other in combinations(range(len(image)), 2):
        both = there[one] and there[other]
        row += map(_likeness, centred[one], centred[other]) if both else [np.nan] * len(compared)
    return row


def _pyramid(plane: np.ndarray, levels: int) -> list[np.ndarray]:
    pyramid = [plane]
    for _ in range(levels - 1):
        pyramid.append(cv2.pyrDown(pyramid[-1]))
    return pyramid


def _describe_channel(plane: np.ndarray, pyramid: Sequence[np.ndarray], mean: np.float32) -> list[float]:
    ups = [(fine, cv2.pyrUp(coarse, dstsize=fine.shape[::-1])) for fine, coarse in pairwise(pyramid)]
    bands = [np.subtract(fine, up, out=up) for fine, up in ups]
    contrast = [float(np.sqrt(_measure_power(band))) for band in (*bands, pyramid[-1].copy())]
    black = (plane.size - cv2.countNonZero(plane)) / plane.size
    saturated = np.count_nonzero(plane >= _SATURATED) / plane.size
    brightness = float(np.log1p(mean))
    detail = [float(np.log(one + _FLOOR)) for one in contrast]
    return [brightness, black**0.5, saturated**0.5, _lines(pyramid[min(1, len(pyramid) - 1)]), *detail]


def _measure_power(plane: np.ndarray) -> np.float32:
    """Return the mean square of a plane without its mean; the plane is used up."""
    plane -= _mean(plane)
    return _mean(np.multiply(plane, plane, out=plane))


def _lines(plane: np.ndarray) -> float:
    """Return how far gradients agree on a direction within a few pixels, in [0, 1]: coherence of structure tensors."""
    across, down = cv2.Sobel(plane, cv2.CV_32F, 1, 0), cv2.Sobel(plane, cv2.CV_32F, 0, 1)
    xx, yy, xy = (cv2.GaussianBlur(part, (0, 0), 2) for part in (across * across, down * down, across * down))
    along = float(_mean(np.sqrt((xx - yy) ** 2 + 4 * xy * xy)))
    return along / (float(_mean(xx + yy)) + _FLOOR)


class _Centred(NamedTuple):
    """A plane without its mean."""

    mean: np.float32
    values: np.ndarray
    power: np.float32  # mean of their squares


def _centre(plane: np.ndarray) -> _Centred:
    mean = _mean(plane)
    values = plane - mean
    return _Centred(mean, values, _mean(values * values))


def _mean(plane: np.ndarray) -> np.float32:
    """Return the mean as `numpy.mean` does, to the same bits, in a third of its time for small planes."""
    return np.float32(np.add.reduce(plane, axis=None) / np.float32(plane.size))


def _likeness(one: _Centred, other: _Centred) -> float:
    """Return Fisher's z of two planes' correlation, 0 where one of them is the same everywhere."""
    product = sqrt(float(one.power) * float(other.power))
    correlation = float(_mean(one.values * other.values)) / product if product > 0 else 0.0
    return float(np.arctanh(min(max(correlation, -0.99), 0.99)))  # 0.99: z of equal planes would be infinite
