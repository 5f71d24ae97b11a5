"""Exposure: how much of its file's range an image uses, and which of its channels are empty or one picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import cv2
import numpy as np

from hpa_hier.data.images.channels import PROTEIN
from hpa_hier.data.images.kernels.counts import count_values, sum_squares

RULES = ("depth", "percentile")  # by which intensities become 8 bits
SATURATED = 0.15  # share of a channel's pixels at its largest value; at most 0.07 in 492 real channels
ONE_PICTURE = 0.03  # of a channel's range, left by the best line from another; see `find_equal`
_QUANTILES = (0.001, 0.999)  # of a channel's pixels: what lies outside may be dead and hot pixels
_LEAST_BITS = 2  # of the file's bits that nearly black images leave unused
_LEAST_RANGE = 1 / 16  # of the file's range; a smaller one leaves 16 grey levels of 256
_WELL_USED = 1 / 4  # of the file's range; real fields in 8 bits use 0.16 to 1
_FAR = 2  # times as bright as nearly all training images, or as dark
_LEAST_LEVELS = 8  # grey levels of any photograph
_EMPTY = "empty: all pixels of each channel are alike"
_NOISE = "empty: nothing but noise in each channel"
_MASK = f"fewer than {_LEAST_LEVELS} grey levels, as a mask has"
_NOTHING = {_EMPTY, _NOISE, _MASK}  # of images that show nothing
_STRUCTURE = 0.1  # correlation of neighbouring pixels, of a channel that shows anything
_LIKENESS = 0.98  # correlation that two channels need to be one picture
_BRIGHT = 128  # largest value; below, many pixels have it by chance
_BLACK = 1 / 8  # of the range; less of it looks black
_SAMPLED = 128  # pixels a side that are compared
_COMPARABLE = 1024  # pixels; in smaller pictures real stains correlate by up to 0.98


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
    counts = count_values(plane)
    below = counts.cumsum(dtype=np.float64)  # pixels of at most each value
    ranks = (1, *(q * plane.size for q in _QUANTILES), below[-1])
    floor, low, high, peak = below.searchsorted(ranks).tolist()
    return Exposure(depth, floor, low, high, peak, float(counts[peak] / plane.size), int(np.count_nonzero(counts)))


class Glance(NamedTuple):
    """What is kept of one channel's pixels, so that the plane itself need not be."""

    exposure: Exposure
    grid: np.ndarray  # up to 128 × 128 of them, evenly spaced
    whole: np.ndarray | None  # all of them, where the grid has too few to compare
    noise: bool  # nothing but noise; not told of less than 64 × 64 pixels
    sums: np.ndarray | None  # over squares of pixels, where a kernel summed some


def glance_at(plane: np.ndarray) -> Glance:
    """Measure one channel.

    Args:
        plane: (H, W) uint8 or uint16.
    """
    exposure = measure_exposure(plane)
    shows = min(plane.shape) >= _SAMPLED // 2 and not exposure.constant
    sums = sum_squares(plane, _step(plane)) if shows else None
    noise = shows and measure_structure(plane, sums) < _STRUCTURE
    rows, columns = _grid(plane.shape)
    grid = np.ascontiguousarray(np.ascontiguousarray(plane[rows])[:, columns])  # row by row, as they are in memory
    return Glance(exposure, grid, plane if grid.size < _COMPARABLE else None, noise, sums)


def find_equal(glances: Mapping[str, Glance]) -> tuple[tuple[str, ...], ...]:
    """Return groups of channels that are one picture, up to brightness, contrast and mild compression.

    Two channels are, where they correlate and the best line from either to the other leaves less than 3 % of a
    channel's range. Stains of one real field leave 5 % and more, copies with noise or as JPEG of quality 90 up to 2 %.
    A grid of up to 128 × 128 pixels is compared; pictures of less than 1,024 pixels must be equal.

    Args:
        glances: at planes of one size, by channel; constant ones have no picture.

    >>> plane = np.arange(100, dtype=np.uint8).reshape(10, 10) % 7
    >>> find_equal({"red": glance_at(plane), "green": glance_at(plane), "blue": glance_at(plane.T)})
    (('red', 'green'),)
    """
    exposures = {name: one.exposure for name, one in glances.items()}
    names = [name for name, one in exposures.items() if one.high > one.low]
    if len(names) < 2:
        return ()
    grids = np.stack([glances[name].grid.ravel() for name in names]).astype(np.float32)
    grids -= grids.mean(axis=1, keepdims=True)
    size = grids.shape[1]
    together = (grids @ grids.T).tolist()  # sums of products of each two
    place = {name: i for i, name in enumerate(names)}
    deviation = {name: float((together[i][i] / size) ** 0.5) for name, i in place.items()}
    groups: list[list[str]] = []
    for a, b in combinations([name for name in names if deviation[name] > 0], 2):
        likeness = together[place[a]][place[b]] / (size * deviation[a] * deviation[b])
        left = max(deviation[name] / (exposures[name].high - exposures[name].low) for name in (a, b))
        alike = likeness > _LIKENESS and left * max(0.0, 1.0 - likeness**2) ** 0.5 < ONE_PICTURE
        if alike and _may_be_equal(glances[a], glances[b]):
            known = next((group for group in groups if a in group), None)
            if known is None:
                groups.append([a, b])
            elif b not in known:
                known.append(b)
    return tuple(tuple(group) for group in groups)


def _may_be_equal(one: Glance, other: Glance) -> bool:
    """Tell whether pictures are equal, or have pixels enough to be called so where they correlate."""
    return one.whole is None or other.whole is None or np.array_equal(one.whole, other.whole)


class Look(NamedTuple):
    """What an image looked like when it was read, in a form that can be kept for each of many."""

    depth: int  # bits of its files
    bits: int  # that its largest value needs
    range_used: float  # share of the range of its files, by the channel that uses most
    dark: bool  # nearly black by the rule "depth": all channels use little of their range
    flaws: tuple[str, ...]  # what looks wrong with it whatever the rule, in a few words each
    equal: tuple[tuple[str, ...], ...] = ()  # channels that are one picture

    def doubts(self, rule: str, usual: tuple[float, float] | None = None) -> tuple[str, ...]:
        """Return what is doubtful about an image that becomes 8 bits by a rule, "depth" or "percentile".

        Args:
            rule: "percentile" makes all images equally bright, so only by "depth" one can be too dark.
            usual: share of the range that training images used, their 1 % and 99 % quantiles; None: unknown, or the
                image is itself one to train on.

        >>> Look(16, 12, 0.06, True, ("green is saturated",)).doubts("depth")
        ('green is saturated', 'only 12 of 16 bits used, so nearly black')
        >>> Look(8, 8, 0.2, False, ()).doubts("depth", (0.5, 1.0))
        ('much darker than the training images',)
        """
        return (*self.flaws, *filter(None, [self._describe_light(usual) if rule == "depth" else ""]))

    def _describe_light(self, usual: tuple[float, float] | None) -> str:
        """Return how an image is too dark or too bright for the rule "depth"; "" where it is not."""
        if usual and usual[1] * _FAR < self.range_used:
            return "much brighter than the training images"
        if self.dark and (usual is None or self.range_used * _FAR < usual[0]):
            what = f"only {self.bits} of" if self.bits < self.depth else "less than a sixteenth of"
            return f"{what} {self.depth} bits used, so {'nearly black' if self.range_used < _BLACK else 'dark'}"
        return "much darker than the training images" if usual and self.range_used * _FAR < usual[0] else ""


def look_at(planes: Mapping[str, np.ndarray]) -> Look:
    """Measure an image's channels, and say what looks wrong.

    Args:
        planes: (H, W) uint8 or uint16 of one size, by channel; at least one.
    """
    return judge({name: glance_at(plane) for name, plane in planes.items()})


def judge(glances: Mapping[str, Glance]) -> Look:
    """Say what looks wrong with an image, by glances at its channels; at least one."""
    exposures = {name: one.exposure for name, one in glances.items()}
    each, equal = exposures.values(), find_equal(glances)
    depth, bits, used = (max(getattr(one, name) for one in each) for name in ("depth", "bits", "range_used"))
    dark = all(one.bits <= one.depth - _LEAST_BITS or one.range_used < _LEAST_RANGE for one in each)
    flaws = find_flaws(exposures, equal, tuple(name for name, one in glances.items() if one.noise))
    return Look(depth, bits, used, dark and not _NOTHING & {*flaws}, flaws, equal)


def choose_rule(looks: Sequence[Look]) -> tuple[str, str]:
    """Choose the rule by which images become 8 bits: "depth", unless that would make many of them dark.

    It is "percentile" where a quarter of the images or more use less than a quarter of their files' range, as 12 bits
    in 16-bit files do. Images that show nothing do not count.

    Returns:
        The rule, and the reason in words.

    >>> choose_rule([Look(16, 12, 0.06, True, ())] * 5 + [Look(16, 16, 1.0, False, ())])
    ('percentile', '5 of 6 images use 12 of 16 bits')
    >>> choose_rule([Look(8, 8, 1.0, False, ())])
    ('depth', 'images use the range of their files')
    """
    shown = [look for look in looks if not _NOTHING & {*look.flaws}]
    dim = [look for look in shown if look.range_used < _WELL_USED]
    if not dim or len(dim) < _WELL_USED * len(shown):
        return "depth", "images use the range of their files"
    bits, depth = max(look.bits for look in dim), max(look.depth for look in dim)
    least = min(look.bits for look in dim)
    what = f"{bits if least == bits else f'{least} to {bits}'} of {depth} bits"
    if bits > depth - _LEAST_BITS:
        what = f"less than a quarter of their {depth} bits"
    return "percentile", f"{len(dim):,} of {len(shown):,} images use {what}"


def count_bits(looks: Iterable[Look]) -> dict[str, int]:
    """Count images by the bits that they use, as in {"12 of 16": 5}; the most frequent first."""
    return dict(Counter(f"{look.bits} of {look.depth}" for look in looks).most_common())


def measure_structure(plane: np.ndarray, sums: np.ndarray | None = None) -> float:
    """Return the correlation of neighbouring pixels at about 128 pixels a side: 0 for noise, 1 for smooth structure.

    It is 0.37 and more for each of 492 real channels, and less than 0.02 for a camera's noise.

    Args:
        plane: (H, W), not constant.
        sums: (H / step, W / step), of squares of pixels that are one of these 128; None: OpenCV averages them.

    >>> round(measure_structure(np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)), 2)
    0.98
    """
    step = _step(plane)
    size = (max(1, plane.shape[1] // step), max(1, plane.shape[0] // step))
    if sums is None:
        small = cv2.resize(plane.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    else:
        small = sums.astype(np.float32) * np.float32(1 / step**2)
    small = small - np.float32(np.add.reduce(small, axis=None) / np.float32(small.size))  # its mean, in less time
    values = small.ravel()
    height, width = small.shape
    variance = float(values @ values) / small.size
    if not variance:
        return 0.0
    below = float(values[width:] @ values[:-width]) / max(1, small.size - width)
    ends = float(small[1:, 0] @ small[:-1, -1])  # of a row and the next, which are neighbours in memory only
    beside = (float(values[1:] @ values[:-1]) - ends) / max(1, small.size - height)
    return float((below + beside) / 2 / variance)


def _step(plane: np.ndarray) -> int:
    """Return the side of a square of pixels, so that about 128 of them are a side of the plane."""
    side: int = max(plane.shape)
    return max(1, side // _SAMPLED)


def find_flaws(
    exposures: Mapping[str, Exposure], equal: Sequence[Sequence[str]], noise: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return what looks wrong with an image, in a few words each that are the same for other images like it.

    Args:
        exposures: of the channels that it has.
        equal: channels that are one picture.
        noise: channels that show nothing but noise.

    >>> find_flaws({"red": Exposure(8, 0, 0, 90, 99, 0.0, 90), "green": Exposure(8, 0, 0, 0, 0, 1.0, 1)}, ())
    ('green is empty, and it is the protein',)
    """
    return tuple(_flaws(exposures, equal, noise))


def _flaws(exposures: Mapping[str, Exposure], equal: Sequence[Sequence[str]], noise: Sequence[str]) -> Iterator[str]:
    constant = [name for name, one in exposures.items() if one.constant]
    if len(constant) == len(exposures):
        yield _EMPTY
        return
    if len(constant) + len(noise) == len(exposures):
        yield _NOISE
        return
    yield from map(describe_equal, equal)
    for name in (*constant, *noise):
        what = "is nothing but noise" if name in noise else "is empty"
        yield f"{name} {what}{', and it is the protein' if name == PROTEIN else ''}"
    if max(one.levels for one in exposures.values()) < _LEAST_LEVELS:
        yield _MASK
        return
    for name, one in exposures.items():
        if one.clipped > SATURATED and one.peak >= _BRIGHT:
            yield f"{name} is saturated"


def describe_equal(group: Sequence[str]) -> str:
    """Describe channels that are one picture, as in "red, green and blue are one picture"."""
    return f"{join_names(group)} are one picture"


def join_names(names: Sequence[str]) -> str:
    """Join names as a sentence does.

    >>> join_names(("red", "green", "blue"))
    'red, green and blue'
    """
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _grid(shape: tuple[int, ...]) -> tuple[slice, slice]:
    step = max(1, -(-max(shape) // _SAMPLED))
    return slice(None, None, step), slice(None, None, step)
