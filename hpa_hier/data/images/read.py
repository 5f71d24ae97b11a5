"""Reading: a sample as uint8 channels of one size, for packing and predicting alike."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from hpa_hier.data.images.channels import cure_missing
from hpa_hier.data.images.exposure import Glance, Look, glance_at, judge
from hpa_hier.data.images.kernels.counts import count_values, shrink
from hpa_hier.data.images.planes import Plane
from hpa_hier.data.images.reader import UnreadableImage
from hpa_hier.data.images.readers import find_reader
from hpa_hier.data.images.scan import ImageSource
from hpa_hier.data.images.stacks import NO_CHOICE, Stack, StackRules, choose_sections, project, reads_stacks

_FINER = 2  # times the wanted side; what is read of a pyramid of resolutions, so that shrinking still averages
_NONE = np.empty((0, 0, 0), np.uint8)  # planes that are needed no more
_SAME = 1.01  # larger over smaller of two sides of a pixel that count as one
PERCENTILES = (0.1, 99.9)  # of a channel's pixels, mapped to 0 and 255 by the "percentile" rule


class Reading(NamedTuple):
    """One sample, read."""

    image: np.ndarray  # (C, S, S) uint8
    missing: tuple[str, ...]  # channels that the sample has not; zeros in the image
    shape: tuple[int, ...]  # (H, W) of the files
    look: Look
    sections: int = 1  # along z, of which one image was made
    frames: int = 1  # along t, of which one was chosen
    micrometres: float | None = None  # side of a pixel of the image; None: the files do not say, or not the same


def read_image(
    source: ImageSource,
    size: int,
    channels: Sequence[str],
    intensity: str,
    may_be_missing: Sequence[str] = (),
    stacks: StackRules = NO_CHOICE,
) -> Reading:
    """Read one sample as uint8 channels of one size; packing and predicting both come through here.

    A coloured file of one channel gives the largest of its red, green and blue; an image that is not square is padded
    with zeros; 16 bits become 8 by the rule; a channel that may be missing is zeros.

    Args:
        source: from `scan`.
        size: S, pixels.
        channels: wanted, in this order along axis C.
        intensity: "depth" scales by bit depth; "percentile" maps each channel's 0.1 and 99.9 percentiles to 0 and 255.
        may_be_missing: channels that the sample may lack.
        stacks: how z stacks and time series become one image.

    Returns:
        The image (C, S, S) uint8, the channels that were missing, and what looks wrong with the others.

    Raises:
        UnreadableImage: a file cannot be used, the channels differ in size, or a channel lacks that may not.
    """
    missing = source.missing_channels(channels)
    if refused := [channel for channel in missing if channel not in may_be_missing]:
        file = next(iter(source.planes.values())).file
        lacking = f"channel {', '.join(refused)} of {source.id} is missing"
        raise UnreadableImage(file, f"{lacking}; {cure_missing(refused)}")
    there = [channel for channel in channels if channel not in missing]
    if not there:
        raise UnreadableImage(next(iter(source.planes.values())).file, f"none of {', '.join(channels)} is there")
    decoded: dict[Path, Stack] = {}
    glances: dict[str, Glance] = {}
    image = np.zeros((len(channels), size, size), dtype=np.uint8)
    for channel, plane in _each_plane(source, there, replace(stacks, least_side=_FINER * size), decoded):
        glance = glance_at(plane)
        image[channels.index(channel)] = convert_plane(plane, size, intensity, glance.sums)
        glances[channel] = glance._replace(sums=None)  # whose memory is still in the processor's cache
        shape = plane.shape
    side = agree(stack.micrometres for stack in decoded.values())
    micrometres = None if side is None else side * max(shape) / size
    return Reading(image, missing, shape, judge(glances), *_depth(decoded), micrometres)


class Planes(NamedTuple):
    """Channels of one sample as its files have them."""

    planes: dict[str, np.ndarray]  # (H, W) uint8 or uint16 of one size, by channel
    sections: int  # along z, of which one image was made
    frames: int  # along t, of which one was chosen
    micrometres: float | None = None  # side of a pixel; None: the files do not say, or not the same


def read_planes(source: ImageSource, channels: Sequence[str], stacks: StackRules = NO_CHOICE) -> Planes:
    """Read channels of one sample at the size and depth of its files.

    Args:
        source: from `scan`.
        channels: that it has, at least one.
        stacks: how z stacks and time series become one image.

    Raises:
        UnreadableImage: a file cannot be used, or the channels differ in size.
    """
    decoded: dict[Path, Stack] = {}
    planes = dict(_each_plane(source, channels, stacks, decoded))
    return Planes(planes, *_depth(decoded), agree(stack.micrometres for stack in decoded.values()))


def _each_plane(
    source: ImageSource, channels: Sequence[str], stacks: StackRules, decoded: dict[Path, Stack]
) -> Iterator[tuple[str, np.ndarray]]:
    """Give each channel's plane, and keep of a file in `decoded` no more than the channels to come need.

    Memory that is free again is still in the processor's cache when the next plane is written into it.
    """
    shape: tuple[int, ...] | None = None
    places = {channel: source.planes[channel] for channel in channels}
    wanted: dict[Path, list[int | None]] = {}
    for place in places.values():
        wanted.setdefault(place.file, []).append(place.index)
    left = {file: len(numbers) for file, numbers in wanted.items()}
    for channel, place in places.items():
        file = place.file
        plane = _plane(place, decoded, stacks, wanted[file])
        left[file] -= 1
        if not left[file]:
            decoded[file] = decoded[file]._replace(planes=_NONE)
        if shape is not None and plane.shape != shape:
            reason = f"{plane.shape[1]} × {plane.shape[0]} pixels, another channel {shape[1]} × {shape[0]}"
            raise UnreadableImage(file, reason)
        shape = plane.shape
        yield channel, plane
        del plane


def _plane(plane: Plane, decoded: dict[Path, Stack], stacks: StackRules, numbers: Collection[int | None]) -> np.ndarray:
    """Return one channel as (H, W) uint8 or uint16; files of several planes are decoded once."""
    if plane.sections:
        wanted = [plane.sections[i] for i in choose_sections(len(plane.sections), stacks.projection)]
        sections = (_whole(file, _decode(file, stacks, numbers)) for file in wanted)
        projected = project(_check_sections(plane.sections, sections), stacks.projection)
        decoded[plane.file] = Stack(projected[None], len(plane.sections))
        return projected
    if plane.file not in decoded:
        decoded[plane.file] = _decode(plane.file, stacks, numbers)
    if plane.index is None:
        return _whole(plane.file, decoded[plane.file])
    planes = decoded[plane.file].planes
    if len(planes) == 1:
        suffix = plane.file.suffix.lower()
        cure = f"name it <id>_green{suffix}, or as it is"
        raise UnreadableImage(plane.file, f"one grey plane, and no channel in its name; {cure}")
    if plane.index >= len(planes):
        raise UnreadableImage(plane.file, f"{len(planes)} planes, where --channels names more")
    return np.asarray(planes[plane.index])


def _decode(file: Path, stacks: StackRules, numbers: Collection[int | None]) -> Stack:
    """Decode the planes of a file that have these numbers; None among them: a whole file is wanted."""
    reader = find_reader(file)
    try:
        if not reads_stacks(reader):
            return Stack(reader.read(file))
        some = None if None in numbers else frozenset(number for number in numbers if number is not None)
        return reader.read_stack(file, replace(stacks, wanted=some))
    except (cv2.error, ValueError, MemoryError) as error:
        raise UnreadableImage(file, f"damaged: {type(error).__name__}: {error}") from None


def _whole(file: Path, stack: Stack) -> np.ndarray:
    """Return the file of one channel as (H, W): grey, or the largest of its red, green and blue."""
    planes = stack.planes
    if len(planes) == 1:
        return np.asarray(planes[0])
    if len(planes) < 3 or not find_reader(file).layout(file).rgb:
        raise UnreadableImage(file, f"{len(planes)} planes in the file of one channel")
    return np.asarray(np.maximum(np.maximum(planes[0], planes[1]), planes[2]))


def _check_sections(files: Sequence[Path], sections: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Hand sections on, and refuse them where they differ in size or depth."""
    first: np.ndarray | None = None
    for file, section in zip(files, sections, strict=False):
        first = section if first is None else first
        if (section.shape, section.dtype) != (first.shape, first.dtype):
            raise UnreadableImage(file, f"section of {section.shape[1]} × {section.shape[0]} pixels, unlike the first")
        yield section


def _depth(decoded: Mapping[Path, Stack]) -> tuple[int, int]:
    """Return the largest number of sections and of frames of a sample's files."""
    return max((s.sections for s in decoded.values()), default=1), max((s.frames for s in decoded.values()), default=1)


def agree(micrometres: Iterable[float | None]) -> float | None:
    """Return the side of a pixel that all say, to a hundredth; None: some do not say, or another one.

    >>> agree([0.08, 0.0801]), agree([0.08, 0.16]), agree([0.08, None]), agree([])
    (0.08, None, None, None)
    """
    said = list(micrometres)
    known = [one for one in said if one is not None]
    if not known or len(known) < len(said) or max(known) > _SAME * min(known):
        return None
    return known[0]


def convert_plane(plane: np.ndarray, size: int, intensity: str, sums: np.ndarray | None = None) -> np.ndarray:
    """Convert one channel as read_image does: shrink by area or enlarge linearly, make 8 bits by the rule, pad.

    Args:
        plane: (H, W) uint8 or uint16.
        size: S, pixels.
        intensity: "depth" or "percentile".
        sums: of squares of the plane's pixels, where there are some: they need not be summed again for this size.

    Returns:
        (S, S) uint8.

    >>> convert_plane(np.full((2, 4), 65535, np.uint16), 4, "depth")[:, 0].tolist()
    [0, 255, 255, 0]
    """
    return _pad(to_uint8(_scale(plane, size, sums), intensity), size)


def _scale(plane: np.ndarray, size: int, sums: np.ndarray | None) -> np.ndarray:
    """Resize a plane so that its longer side has `size` pixels."""
    height, width = plane.shape
    side = max(height, width)
    inner = (max(1, round(height * size / side)), max(1, round(width * size / side)))
    if inner == plane.shape:
        return plane
    if side > size and (small := shrink(plane, inner, sums)) is not None:
        return small
    how = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(plane), inner[::-1], interpolation=how))


def _pad(plane: np.ndarray, size: int) -> np.ndarray:
    """Put a plane into the middle of a (size, size) square of zeros, which take no part in intensity rules."""
    height, width = plane.shape
    if (height, width) == (size, size):
        return plane
    square = np.zeros((size, size), dtype=plane.dtype)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = plane
    return square


def _stretch(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map `low` to 0 and `high` to 255, and what lies beyond to them."""
    scaled = (values.astype(np.float32) - low) * (255.0 / max(high - low, 1.0))
    return np.asarray(np.rint(np.clip(scaled, 0.0, 255.0)), dtype=np.uint8)


def _find_percentiles(plane: np.ndarray) -> np.ndarray:
    """Return PERCENTILES of a plane of 8 bits as `numpy.percentile` does, to the same bits, from its histogram."""
    at = (plane.size - 1) * (np.array(PERCENTILES) / 100)
    below = np.floor(at)
    ranks = np.stack([below, np.minimum(below + 1, plane.size - 1)])
    first, second = np.searchsorted(np.cumsum(count_values(plane)), ranks, side="right")
    part = at - below
    return np.asarray(np.where(part < 0.5, first + (second - first) * part, second - (second - first) * (1 - part)))


def to_uint8(plane: np.ndarray, intensity: str) -> np.ndarray:
    """Convert a plane's uint8 or uint16 intensities to uint8 by the rule "depth" or "percentile" of `read_image`.

    >>> to_uint8(np.array([[0, 257, 65535]], np.uint16), "depth")
    array([[  0,   1, 255]], dtype=uint8)
    """
    if intensity == "percentile":
        if plane.dtype == np.uint8:
            table = _stretch(np.arange(256, dtype=np.uint8), *_find_percentiles(plane))
            return np.asarray(cv2.LUT(plane, table))
        return _stretch(plane, *np.percentile(plane, PERCENTILES))
    if plane.dtype == np.uint8:
        return np.asarray(plane)
    return np.asarray((plane.astype(np.uint32) + 128) // 257, dtype=np.uint8)
