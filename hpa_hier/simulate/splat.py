"""Points to images: every spot and filament is a set of weighted points, splatted and blurred."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]  # (S, S) intensities or distances
Points = NDArray[np.float64]  # (K, 2) x, y in pixels; the centre of the first pixel is 0, 0

# Pixels: what is narrower than the sampling grid would flicker with its position; a lone dot sooner than a line.
SMALLEST_DOT, SMALLEST_LINE = 0.75, 0.5


def splat(points: Points, weights: NDArray[np.float64], size: int) -> Map:
    """Share each point's weight among its four nearest pixels.

    Args:
        points: (K, 2) x, y in pixels; points outside the image are dropped.
        weights: (K,) or a number.
        size: pixels, side of the image.

    Returns:
        (S, S), whose sum is the weight of all points well inside.

    >>> splat(np.array([[1.5, 0.0]]), np.ones(1), 3)[0].tolist()
    [0.0, 0.5, 0.5]
    """
    wide = size + 2
    near = (points[:, 0] > -1) & (points[:, 0] < size) & (points[:, 1] > -1) & (points[:, 1] < size)
    x, y = points[near, 0] + 1, points[near, 1] + 1
    weight = np.broadcast_to(weights, len(points))[near]
    left, top = x.astype(np.intp), y.astype(np.intp)
    fx, fy = x - left, y - top
    first = top * wide + left
    cells = np.concatenate([first, first + 1, first + wide, first + wide + 1])
    shares = np.concatenate([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy]) * np.tile(weight, 4)
    canvas = np.bincount(cells, shares, minlength=wide * wide)[: wide * wide].reshape(wide, wide)
    return canvas[1:-1, 1:-1].astype(np.float32)


def blur(image: Map, sigma: float) -> Map:
    """Blur with a Gaussian of `sigma` pixels; wide ones are done at a lower resolution, where they cost less.

    >>> float(blur(np.ones((8, 8), np.float32), 2.0).mean())
    1.0
    """
    if sigma < 0.2:
        return image
    if sigma <= 6 or image.shape[0] < 48:
        return _gaussian(image, sigma)
    side = max(8, round(image.shape[0] * 3 / sigma))
    small = np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.float32)
    small = _gaussian(small, sigma * side / image.shape[0])
    return np.asarray(cv2.resize(small, image.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _gaussian(image: Map, sigma: float) -> Map:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), np.float32)


def dots(points: Points, weights: NDArray[np.float64], sigma: float, size: int) -> Map:
    """Draw round spots: Gaussians of `sigma` pixels whose peak is their weight.

    >>> image = dots(np.array([[16.0, 16.0]]), np.ones(1), 2.0, 33)
    >>> round(float(image[16, 16]), 2), round(float(image[16, 18]), 2)
    (1.0, 0.61)
    """
    sigma = max(sigma, SMALLEST_DOT)
    return blur(splat(points, weights, size), sigma) * np.float32(2 * np.pi * sigma**2)


def lines(points: Points, spacing: NDArray[np.float64], sigma: float, size: int) -> Map:
    """Draw curves given as close points: Gaussian profiles of `sigma` pixels whose crest is 1.

    Args:
        points: (K, 2) x, y in pixels, of all curves together.
        spacing: (K,) pixels of curve that each point stands for, times the curve's brightness.
        sigma: pixels.
        size: pixels, side of the image.

    >>> x = np.arange(33.0)
    >>> image = lines(np.stack([x, np.full(33, 16.0)], axis=1), np.ones(33), 2.0, 33)
    >>> round(float(image[16, 16]), 2)
    1.0
    """
    sigma = max(sigma, SMALLEST_LINE)
    return blur(splat(points, spacing, size), sigma) * np.float32(np.sqrt(2 * np.pi) * sigma)


def noise(rng: np.random.Generator, size: int, grain: float) -> Map:
    """Draw a smooth texture of mean 0 and standard deviation 1, with blobs of about `grain` pixels.

    >>> texture = noise(np.random.default_rng(0), 64, 4.0)
    >>> texture.shape, round(float(texture.std()), 3)
    ((64, 64), 1.0)
    """
    side = size if grain < 2 else max(4, min(size, int(np.ceil(2 * size / grain)) + 2))
    texture = rng.standard_normal((side, side), dtype=np.float32)
    texture = blur(texture, max(0.3, grain * side / size / 2))
    if side != size:
        texture = np.asarray(cv2.resize(texture, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)
    return np.asarray((texture - texture.mean()) / (texture.std() + 1e-6), dtype=np.float32)


def scatter(rng: np.random.Generator, weight: Map, count: int) -> Points:
    """Draw `count` points whose density follows `weight`, a map of values >= 0; none where it is 0 everywhere.

    >>> weight = np.zeros((8, 8), np.float32)
    >>> weight[3, 5] = 1
    >>> np.rint(scatter(np.random.default_rng(0), weight, 2)).tolist()
    [[5.0, 3.0], [5.0, 3.0]]
    """
    total = np.cumsum(weight.ravel(), dtype=np.float64)
    if count <= 0 or total[-1] <= 0:
        return np.zeros((0, 2))
    cells = np.minimum(np.searchsorted(total, rng.random(count) * total[-1], side="right"), total.size - 1)
    size = weight.shape[1]
    return np.stack([cells % size, cells // size], axis=1) + rng.uniform(-0.5, 0.5, (count, 2))
