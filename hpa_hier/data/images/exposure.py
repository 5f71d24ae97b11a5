"""Exposure: how much of its file's range an image uses, and which of its channels are empty or one picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import cv2
import numpy as np

from hpa_hier.data.images.channels import PROTEIN

SATURATED = 0.1  # share of a channel's pixels at its largest value; at most 0.07 in 276 real channels
ONE_PICTURE = 0.99  # correlation of channels that are one picture; at most 0.93 between stains of 79 real fields
_QUANTILES = (0.001, 0.999)  # of a channel's pixels: what lies outside may be dead and hot pixels
_LEAST_BITS = 2  # of the file's bits that nearly black images leave unused
_LEAST_RANGE = 1 / 16  # of the file's range; a smaller one leaves 16 grey levels of 256
_LEAST_LEVELS = 8  # grey levels of any photograph
_SAMPLED = 128  # pixels a side that are compared
_COMPARABLE = 64  # pixels; fewer can correlate by chance


class Exposure(NamedTuple):
    """What the pixels of one channel are, before they become 8 bits."""

    depth: int  # bits of the file: 8 or 16
    floor: int  # smallest value
    low: int  # 0.1 percentile
    high: int  # 99.9 percentile
    peak: int  # largest value
    clipped: float  # share of pixels at the largest value
    levels: int  # different values

    @property
    def bits(self) -> int:
        """Bits that the largest value needs."""
        return self.peak.bit_length()

    @property
    def range_used(self) -> float:
        """Distance of the 0.1 and 99.9 percentiles, as a share of what the file could hold."""
        return (self.high - self.low) / ((1 << self.depth) - 1)

    @property
    def constant(self) -> bool:
        """Whether all pixels are alike."""
        return self.floor == self.peak


def measure_exposure(plane: np.ndarray) -> Exposure:
    """Measure one channel from its histogram.

    Args:
        plane: (H, W) uint8 or uint16.

    >>> measure_exposure(np.arange(4096, dtype=np.uint16).reshape(64, 64)).bits
    12
    """
    depth = plane.dtype.itemsize * 8
    counts = cv2.calcHist([np.ascontiguousarray(plane)], [0], None, [1 << depth], (0, 1 << depth)).ravel()
    values = np.flatnonzero(counts)
    below = np.cumsum(counts[values], dtype=np.float64)
    low, high = (int(values[np.searchsorted(below, q * plane.size)]) for q in _QUANTILES)
    clipped = float(counts[values[-1]] / plane.size)
    return Exposure(depth, int(values[0]), low, high, int(values[-1]), clipped, len(values))


def find_equal(planes: Mapping[str, np.ndarray]) -> tuple[tuple[str, ...], ...]:
    """Return groups of channels that are one picture, up to brightness, contrast and compression.

    Stains of one field correlate, by at most 0.93 in real ones; copies of a channel by 0.99 and more. A grid of up to
    128 × 128 pixels is compared. Constant channels have no picture.

    Args:
        planes: (H, W) of one size, by channel.

    >>> plane = np.arange(100).reshape(10, 10) % 7
    >>> find_equal({"red": plane, "green": plane, "blue": plane.T})
    (('red', 'green'),)
    """
    grids = {name: plane[_grid(plane.shape)].astype(np.float32).ravel() for name, plane in planes.items()}
    shifted = {name: grid - grid.mean() for name, grid in grids.items()}
    lengths = {name: float(np.linalg.norm(grid)) for name, grid in shifted.items()}
    groups: list[list[str]] = []
    for a, b in combinations([name for name, length in lengths.items() if length > 0], 2):
        alike = float(shifted[a] @ shifted[b]) >= ONE_PICTURE * lengths[a] * lengths[b]
        if alike and (grids[a].size >= _COMPARABLE or np.array_equal(planes[a], planes[b])):
            known = next((group for group in groups if a in group), None)
            if known is None:
                groups.append([a, b])
            elif b not in known:
                known.append(b)
    return tuple(tuple(group) for group in groups)


def is_dark(exposures: Sequence[Exposure]) -> bool:
    """Return whether an image becomes nearly black by the rule "depth": all channels use little of their range."""
    return all(one.bits <= one.depth - _LEAST_BITS or one.range_used < _LEAST_RANGE for one in exposures)


def find_doubts(exposures: Mapping[str, Exposure], equal: Sequence[Sequence[str]], rule: str) -> tuple[str, ...]:
    """Return what is doubtful about an image, in a few words each that are the same for other images like it.

    Args:
        exposures: of the channels that it has.
        equal: channels that are one picture.
        rule: by which it becomes 8 bits, "depth" or "percentile".

    >>> find_doubts({"green": Exposure(16, 100, 110, 3900, 4000, 0.0, 900)}, (), "depth")
    ('only 12 of 16 bits used, nearly black',)
    """
    return tuple(_doubts(exposures, equal, rule))


def _doubts(exposures: Mapping[str, Exposure], equal: Sequence[Sequence[str]], rule: str) -> Iterator[str]:
    constant = [name for name, one in exposures.items() if one.constant]
    if exposures and len(constant) == len(exposures):
        yield "empty: all pixels of each channel are alike"
        return
    for group in equal:
        yield f"{join_names(group)} are one picture"
    for name in constant:
        yield f"{name} is empty{', and it is the protein' if name == PROTEIN else ''}"
    if max(one.levels for one in exposures.values()) < _LEAST_LEVELS:
        yield f"fewer than {_LEAST_LEVELS} grey levels, as a mask has"
    elif rule == "depth" and is_dark(tuple(exposures.values())):
        yield f"{describe_use(tuple(exposures.values()))}, nearly black"
    for name, one in exposures.items():
        if one.clipped > SATURATED and one.levels >= _LEAST_LEVELS:
            yield f"{name} is saturated"


def describe_use(exposures: Sequence[Exposure]) -> str:
    """Describe how much of its file's range an image uses, as in "only 12 of 16 bits used"."""
    bits, depth = max(one.bits for one in exposures), max(one.depth for one in exposures)
    return f"only {bits} of {depth} bits used" if bits < depth else f"less than a sixteenth of {depth} bits used"


def join_names(names: Sequence[str]) -> str:
    """Join names as a sentence does.

    >>> join_names(("red", "green", "blue"))
    'red, green and blue'
    """
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _grid(shape: tuple[int, ...]) -> tuple[slice, slice]:
    step = max(1, -(-max(shape) // _SAMPLED))
    return slice(None, None, step), slice(None, None, step)
