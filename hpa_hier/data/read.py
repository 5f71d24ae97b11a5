"""Reading: which images a folder holds, and each as uint8 channels of one size, for packing and predicting alike."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from hpa_hier.data.channels import CHANNELS, ChannelHint, channel_of, parse_hint, split_name
from hpa_hier.data.image_file import UnreadableImage, read_flat
from hpa_hier.data.labels import valid_id
from hpa_hier.data.tiff_file import read_tiff, tiff_layout
from hpa_hier.errors import UserError

_FLAT = (".png", ".jpg", ".jpeg")
_TIFF = (".tif", ".tiff")
PERCENTILES = (0.1, 99.9)  # of a channel's pixels, mapped to 0 and 255 by the "percentile" rule


@dataclass(frozen=True)
class Plane:
    """Where one channel of a sample is."""

    file: Path
    index: int | None  # plane of a file that holds several; None: the whole file is this channel


@dataclass(frozen=True)
class ImageSource:
    """One sample's files."""

    id: str
    form: str  # "channel files", "rgb" or "tiff"
    planes: Mapping[str, Plane]  # by channel

    def lacks(self, channels: Sequence[str]) -> tuple[str, ...]:
        """Return those of `channels` that the sample has not."""
        return tuple(channel for channel in channels if channel not in self.planes)


@dataclass(frozen=True)
class Reject:
    """A sample or file that cannot be used, and why."""

    id: str
    file: str
    reason: str


class Scan(NamedTuple):
    """What a folder holds."""

    sources: tuple[ImageSource, ...]  # sorted by id
    rejects: tuple[Reject, ...]
    ignored: tuple[str, ...]  # names of files that are no images, or overlays of samples with a file per channel


class Reading(NamedTuple):
    """One sample, read."""

    image: np.ndarray  # (C, S, S) uint8
    missing: tuple[str, ...]  # channels that the sample has not; zeros in the image


@dataclass
class _Found:
    """What the names in a folder say about one sample, while it is scanned."""

    channels: dict[str, Path] = field(default_factory=dict)
    whole: Path | None = None
    fault: Reject | None = None


def scan(folder: Path | str, channels: str | None = None) -> Scan:
    """Find the samples in a folder by their file names; sub-folders are not entered.

    Args:
        folder: holds `<id>_red.png` and so on, or one RGB file or many-channel TIFF a sample.
        channels: what the user told with `--channels`: the order of planes, or names of channels.

    Returns:
        sources, rejects with reasons, and names of files that were left aside.

    Raises:
        UserError: there is no such folder, it holds no image, or `channels` cannot be understood.
    """
    folder, hint = Path(folder), parse_hint(channels)
    found: dict[str, _Found] = {}
    ignored: list[str] = []
    for entry in _entries(folder):
        stem, suffix = _split_suffix(entry.name)
        if entry.name.startswith(".") or suffix not in _FLAT + _TIFF:
            ignored.append(entry.name)
            continue
        sample_id, channel = split_name(stem, hint)
        sample = found.setdefault(sample_id, _Found())
        fault = _entry_fault(entry, folder, sample_id)
        beside = sample.whole if channel is None else sample.channels.get(channel)
        if fault is None and beside is not None:
            fault = (
                f"a second file for {'the sample' if channel is None else f'channel {channel}'}, beside {beside.name}"
            )
        if fault is not None:
            sample.fault = sample.fault or Reject(sample_id, entry.name, fault)
        elif channel is None:
            sample.whole = Path(entry.path)
        else:
            sample.channels[channel] = Path(entry.path)
    if not found:
        read = ", ".join(_FLAT + _TIFF)
        raise UserError(
            f"{folder}: no image among {len(ignored)} entries; {read} are read, sub-folders are not entered"
        )
    return _settle(found, ignored, hint)


def _settle(found: Mapping[str, _Found], ignored: list[str], hint: ChannelHint) -> Scan:
    sources: list[ImageSource] = []
    rejects: list[Reject] = []
    for sample_id in sorted(found):
        sample = found[sample_id]
        if sample.fault is not None:
            rejects.append(sample.fault)
        elif sample.channels:
            planes = {channel: Plane(file, None) for channel, file in sample.channels.items()}
            sources.append(ImageSource(sample_id, "channel files", planes))
            ignored += [sample.whole.name] if sample.whole else []
        elif sample.whole is not None:
            try:
                sources.append(_whole(sample_id, sample.whole, hint))
            except UnreadableImage as error:
                rejects.append(Reject(sample_id, error.file.name, error.reason))
    return Scan(tuple(sources), tuple(rejects), tuple(ignored))


def _whole(sample_id: str, file: Path, hint: ChannelHint) -> ImageSource:
    """Find the channels of a file that holds several."""
    if file.suffix.lower() in _FLAT:
        order: Sequence[str | None] = hint.order or CHANNELS[:3]
        return ImageSource(sample_id, "rgb", _planes(file, order))
    layout = tiff_layout(file)
    named = [channel_of(name, hint) for name in layout.names]
    if layout.planes == 1:
        raise UnreadableImage(file, "one plane, and no channel in its name; name it <id>_green.tif, or as it is")
    if hint.order:
        if len(hint.order) != layout.planes:
            raise UnreadableImage(file, f"{layout.planes} planes where --channels tells of {len(hint.order)}")
        return ImageSource(sample_id, "tiff", _planes(file, hint.order))
    if any(named):
        if len(set(named) - {None}) < sum(name is not None for name in named):
            raise UnreadableImage(file, f"two planes of one channel by their names: {', '.join(layout.names)}")
        return ImageSource(sample_id, "tiff", _planes(file, named))
    if layout.colour:
        return ImageSource(sample_id, "tiff", _planes(file, CHANNELS[:3]))
    raise UnreadableImage(
        file, f"{layout.planes} planes without known names; say which is which, as in --channels red,green,blue,yellow"
    )


def _planes(file: Path, order: Sequence[str | None]) -> dict[str, Plane]:
    return {channel: Plane(file, index) for index, channel in enumerate(order) if channel is not None}


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read as a folder of images ({error.strerror})") from None


def _split_suffix(name: str) -> tuple[str, str]:
    path = Path(name)
    stem, suffix = path.stem, path.suffix.lower()
    if suffix in _TIFF and stem.lower().endswith(".ome"):
        stem = stem[:-4]
    return stem, suffix


def _entry_fault(entry: os.DirEntry[str], folder: Path, sample_id: str) -> str | None:
    if entry.is_symlink():
        target = Path(os.path.realpath(entry.path))
        if not target.is_relative_to(os.path.realpath(folder)):
            return f"a link that leaves the folder, to {target}"
    if entry.is_dir():
        return "a folder with an image's name"
    if not entry.is_file():
        return "no regular file, or a link to nothing"
    if not valid_id(sample_id):
        return f"{sample_id!r} cannot be an id; letters, digits, '.', '_' and '-' can, at most 128"
    return None


def read_image(
    source: ImageSource, size: int, channels: Sequence[str], intensity: str, may_be_missing: Sequence[str] = ()
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

    Returns:
        The image (C, S, S) uint8, and the channels that were missing.

    Raises:
        UnreadableImage: a file cannot be used, the channels differ in size, or a channel lacks that may not.
    """
    missing = source.lacks(channels)
    refused = [channel for channel in missing if channel not in may_be_missing]
    if refused:
        file = next(iter(source.planes.values())).file
        raise UnreadableImage(
            file,
            f"channel {', '.join(refused)} of {source.id} is missing; --may-be-missing {','.join(refused)} allows it",
        )
    decoded: dict[Path, np.ndarray] = {}
    image = np.zeros((len(channels), size, size), dtype=np.uint8)
    shape: tuple[int, ...] | None = None
    for c, channel in enumerate(channels):
        if channel in missing:
            continue
        plane = _plane(source.planes[channel], decoded)
        if shape is not None and plane.shape != shape:
            file = source.planes[channel].file
            raise UnreadableImage(
                file, f"{plane.shape[1]} × {plane.shape[0]} pixels, another channel {shape[1]} × {shape[0]}"
            )
        shape = plane.shape
        image[c] = _pad(to_bytes(_scale(plane, size), intensity), size)
    return Reading(image, missing)


def _plane(plane: Plane, decoded: dict[Path, np.ndarray]) -> np.ndarray:
    """Return one channel as (H, W) uint8 or uint16; files of several planes are decoded once."""
    file = plane.file
    if file not in decoded:
        try:
            decoded[file] = _planes_of(file)
        except (cv2.error, ValueError, MemoryError) as error:
            raise UnreadableImage(file, f"damaged: {type(error).__name__}: {error}") from None
    planes = decoded[file]
    if plane.index is None:
        if len(planes) not in (1, 3):
            raise UnreadableImage(file, f"{len(planes)} planes in the file of one channel")
        return np.asarray(planes[0] if len(planes) == 1 else np.maximum(np.maximum(planes[0], planes[1]), planes[2]))
    if len(planes) == 1:
        raise UnreadableImage(file, "one grey plane, and no channel in its name; name it <id>_green.png, or as it is")
    if plane.index >= len(planes):
        raise UnreadableImage(file, f"{len(planes)} planes, where --channels tells of more")
    return np.asarray(planes[plane.index])


def _planes_of(file: Path) -> np.ndarray:
    """Decode a file to (P, H, W)."""
    if file.suffix.lower() in _TIFF:
        return read_tiff(file)[0]
    array = read_flat(file)
    return array[None] if array.ndim == 2 else np.moveaxis(array, 2, 0)


def resize(plane: np.ndarray, size: int) -> np.ndarray:
    """Bring a plane (H, W) to (size, size): shrunk by area or enlarged linearly, then padded with zeros to a square."""
    return _pad(_scale(plane, size), size)


def _scale(plane: np.ndarray, size: int) -> np.ndarray:
    """Bring the longer side of a plane to `size` pixels."""
    height, width = plane.shape
    side = max(height, width)
    inner = (max(1, round(height * size / side)), max(1, round(width * size / side)))
    if inner == plane.shape:
        return plane
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


def to_bytes(plane: np.ndarray, intensity: str) -> np.ndarray:
    """Bring a plane's uint8 or uint16 intensities to uint8.

    Args:
        plane: (S, S).
        intensity: "depth" or "percentile", as in `read_image`.
    """
    if intensity == "percentile":
        low, high = np.percentile(plane, PERCENTILES)
        scaled = (plane.astype(np.float32) - low) * (255.0 / max(high - low, 1.0))
        return np.asarray(np.rint(np.clip(scaled, 0.0, 255.0)), dtype=np.uint8)
    if plane.dtype == np.uint8:
        return np.asarray(plane)
    return np.asarray((plane.astype(np.uint32) + 128) // 257, dtype=np.uint8)
