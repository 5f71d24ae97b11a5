"""Scanning: which samples a folder holds, and where each of their channels is."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hpa_hier.data.images.channels import ChannelHint, parse_hint
from hpa_hier.data.images.file_names import place_files
from hpa_hier.data.images.planes import Plane, find_planes
from hpa_hier.data.images.reader import UnreadableImage
from hpa_hier.data.images.readers import READERS, split_suffix
from hpa_hier.data.labels.ids import ID_RULE, is_valid_id
from hpa_hier.errors import UserError


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
    notes: tuple[str, ...] = ()  # what was taken for what, for people


def scan(folder: Path | str, channels: str | None = None) -> Scan:
    """Find the samples in a folder by their file names; sub-folders are not entered.

    Args:
        folder: holds `<id>_red.png` and so on, or one RGB file or many-channel TIFF a sample.
        channels: what the user gave as `--channels`: the order of planes, or names of channels.

    Raises:
        UserError: there is no such folder, it holds no image, or `channels` cannot be understood.
    """
    folder = Path(folder)
    try:
        with os.scandir(folder) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read as a folder of images ({error.strerror})") from None
    found = _scan(entries, parse_hint(channels), folder)
    if not found.sources and not found.rejects:
        among = f"no image among {len(entries)} entries"
        raise UserError(f"{folder}: {among}; {', '.join(READERS)} are read, sub-folders are not entered")
    return found


def scan_files(files: Sequence[Path | str], channels: str | None = None) -> Scan:
    """Find the samples among files by their names, as `scan` does in a folder; the files may lie in any folders.

    Raises:
        UserError: no file is an image, or `channels` cannot be understood.
    """
    found = _scan([Path(file) for file in files], parse_hint(channels), None)
    if not found.sources and not found.rejects:
        raise UserError(f"no image among {len(files)} files; {', '.join(READERS)} are read")
    return found


def _scan(entries: Sequence[os.DirEntry[str] | Path], hint: ChannelHint, folder: Path | None) -> Scan:
    files: dict[str, dict[str | None, Path]] = {}  # by sample and channel; None: the file of all channels
    faults: dict[str, Reject] = {}
    ignored: list[str] = []
    images: list[os.DirEntry[str] | Path] = []
    for entry in entries:
        known = split_suffix(entry.name)[1] and not entry.name.startswith(".")
        images.append(entry) if known else ignored.append(entry.name)
    stems = [unicodedata.normalize("NFC", split_suffix(entry.name)[0]) for entry in images]
    placement = place_files([(stem, Path(entry)) for stem, entry in zip(stems, images, strict=True)], hint)
    for entry, (sample_id, channel, fault) in zip(images, placement.places, strict=True):
        sample = files.setdefault(sample_id, {})
        fault = fault or _entry_fault(entry, folder, sample_id)
        if fault is None and channel in sample:
            what = f"channel {channel}" if channel else "the sample"
            fault = f"a second file for {what}, beside {sample[channel].name}"
        if fault is None:
            sample[channel] = Path(entry)
        else:
            faults.setdefault(sample_id, Reject(sample_id, entry.name, fault))
    sources: list[ImageSource] = []
    for sample_id in sorted(files):
        if sample_id in faults:
            continue
        sample = files[sample_id]
        planes = {channel: Plane(file, None) for channel, file in sample.items() if channel}
        if planes and None in sample:
            ignored.append(sample[None].name)
        try:
            sources.append(ImageSource(sample_id, planes or find_planes(sample[None], hint)))
        except UnreadableImage as error:
            faults[sample_id] = Reject(sample_id, error.file.name, error.reason)
    return Scan(
        tuple(sources), tuple(faults[sample_id] for sample_id in sorted(faults)), tuple(ignored), placement.notes
    )


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
        return f"{sample_id!r} cannot be an id; {ID_RULE}"
    return None
