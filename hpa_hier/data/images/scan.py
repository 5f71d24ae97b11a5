"""Scanning: which samples a folder holds, and where each of their channels is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hpa_hier.data.images.channels import CHANNELS, ChannelHint, find_channel, parse_hint, split_name
from hpa_hier.data.images.reader import UnreadableImage
from hpa_hier.data.images.readers import READERS, split_suffix
from hpa_hier.data.labels.table import is_valid_id
from hpa_hier.errors import UserError


@dataclass(frozen=True)
class Plane:
    """Where one channel of a sample is."""

    file: Path
    index: int | None  # plane of a file that holds several; None: the whole file is this channel


@dataclass(frozen=True)
class ImageSource:
    """One sample's files."""

    id: str
    planes: Mapping[str, Plane]  # by channel

    def missing_channels(self, channels: Sequence[str]) -> tuple[str, ...]:
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
        channels: what the user gave as `--channels`: the order of planes, or names of channels.

    Returns:
        sources, rejects with reasons, and names of files that were left aside.

    Raises:
        UserError: there is no such folder, it holds no image, or `channels` cannot be understood.
    """
    folder = Path(folder)
    found = _scan(_entries(folder), parse_hint(channels), folder)
    if not found.sources and not found.rejects:
        suffixes = ", ".join(READERS)
        raise UserError(
            f"{folder}: no image among {len(found.ignored)} entries; {suffixes} are read, sub-folders are not entered"
        )
    return found


def scan_files(files: Sequence[Path | str], channels: str | None = None) -> Scan:
    """Find the samples among files by their names, as `scan` does in a folder.

    Args:
        files: one for each channel of a sample, or RGB files or many-channel TIFFs; from any folders.
        channels: as for `scan`.

    Raises:
        UserError: no file is an image, or `channels` cannot be understood.
    """
    found = _scan([Path(file) for file in files], parse_hint(channels), None)
    if not found.sources and not found.rejects:
        raise UserError(f"no image among {len(files)} files; {', '.join(READERS)} are read")
    return found


def _scan(entries: Sequence[os.DirEntry[str] | Path], hint: ChannelHint, folder: Path | None) -> Scan:
    found: dict[str, _Found] = {}
    ignored: list[str] = []
    for entry in entries:
        stem, suffix = split_suffix(entry.name)
        if entry.name.startswith(".") or not suffix:
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
            sample.whole = Path(entry)
        else:
            sample.channels[channel] = Path(entry)
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
            sources.append(ImageSource(sample_id, planes))
            ignored += [sample.whole.name] if sample.whole else []
        elif sample.whole is not None:
            try:
                sources.append(ImageSource(sample_id, _find_planes(sample.whole, hint)))
            except UnreadableImage as error:
                rejects.append(Reject(sample_id, error.file.name, error.reason))
    return Scan(tuple(sources), tuple(rejects), tuple(ignored))


def _find_planes(file: Path, hint: ChannelHint) -> dict[str, Plane]:
    """Find the channels of a file that holds several: by --channels, else by the file's own names, else RGB."""
    layout = READERS[split_suffix(file.name)[1]].layout(file)
    if layout.planes == 1:
        raise UnreadableImage(file, "one plane, and no channel in its name; name it <id>_green.tif, or as it is")
    order: Sequence[str | None] = hint.order
    if order and layout.planes not in (None, len(order)):
        raise UnreadableImage(file, f"{layout.planes} planes where --channels names {len(order)}")
    if not order:
        order = [find_channel(name, hint) for name in layout.names]
        if len(set(order) - {None}) < sum(name is not None for name in order):
            raise UnreadableImage(file, f"two planes of one channel by their names: {', '.join(layout.names)}")
    if not any(order) and layout.rgb:
        order = CHANNELS[:3]
    if not any(order):
        own = f" (it calls them {', '.join(layout.names)})" if layout.names else ""
        raise UnreadableImage(
            file,
            f"{layout.planes} planes without known names{own}; say which is which, as in "
            "--channels red,green,blue,yellow",
        )
    return {channel: Plane(file, index) for index, channel in enumerate(order) if channel is not None}


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read as a folder of images ({error.strerror})") from None


def _entry_fault(entry: os.DirEntry[str] | Path, folder: Path | None, sample_id: str) -> str | None:
    if folder is not None and entry.is_symlink():
        target = Path(os.path.realpath(entry))
        if not target.is_relative_to(os.path.realpath(folder)):
            return f"a link that leaves the folder, to {target}"
    if entry.is_dir():
        return "a folder with an image's name"
    if not entry.is_file():
        return "no regular file, or a link to nothing"
    if not is_valid_id(sample_id):
        return f"{sample_id!r} cannot be an id; letters, digits, '.', '_' and '-' can, at most 128"
    return None
