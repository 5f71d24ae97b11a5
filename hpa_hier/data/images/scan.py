"""Scanning: which samples a folder holds, and where each of their channels is."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hpa_hier.data.images.channels import CHANNELS, PROTEIN, ChannelHint, find_channel, parse_hint, split_name
from hpa_hier.data.images.file_names import place_files
from hpa_hier.data.images.planes import Plane, find_planes
from hpa_hier.data.images.reader import UnreadableImage
from hpa_hier.data.images.readers import READERS, split_suffix
from hpa_hier.data.images.walk import ImageFile, walk
from hpa_hier.data.labels.ids import ID_RULE, is_valid_id
from hpa_hier.data.labels.image_names import ImageName, ImageNames
from hpa_hier.errors import UserError


@dataclass(frozen=True)
class ImageSource:
    """One sample's files."""

    id: str
    planes: Mapping[str, Plane]  # by channel
    folder: str = ""  # where its files are, in what was scanned: "plate1/A01"; a channel's own folder is left out

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
    ignored: tuple[str, ...]  # no images, or overlays of samples with a file per channel; a folder ends in /
    notes: tuple[str, ...] = ()  # what was taken for what, for people
    names: ImageNames = ImageNames(())  # of all samples, those that cannot be used too


def scan(folder: Path | str, channels: str | None = None, follow_links: bool = False) -> Scan:
    """Find the samples in a folder and its sub-folders by the names of files and folders.

    A sample's id is what its file names share. Where samples of different folders have one name, the folders come
    before it: `plate1/A01_green.png` and `plate2/A01_green.png` are `plate1_A01` and `plate2_A01`. The channels of a
    sample may lie in a folder each: `green/a.png` and `red/a.png`.

    Args:
        folder: holds `<id>_red.png` and so on, or one RGB file or many-channel TIFF a sample.
        channels: what the user gave as `--channels`: the order of planes, or names of channels.
        follow_links: enter linked folders, and take links that leave the folder.

    Raises:
        UserError: there is no such folder, it holds no image, or `channels` cannot be understood.
    """
    folder = Path(folder)
    found = walk(folder, follow_links)
    scanned = _scan(found.files, parse_hint(channels), found.ignored)
    closed = tuple(Reject(file.path.name, file.shown, str(file.fault)) for file in found.closed)
    scanned = scanned._replace(rejects=(*scanned.rejects, *closed))
    if not scanned.sources and not scanned.rejects:
        among = f"no image among {found.entries:,} entries of it and its sub-folders"
        raise UserError(f"{folder}: {among}; {', '.join(READERS)} are read")
    return scanned


def scan_files(files: Sequence[Path | str], channels: str | None = None) -> Scan:
    """Find the samples among files by their names, as `scan` does in a folder; the files may lie in any folders.

    Raises:
        UserError: no file is an image, or `channels` cannot be understood.
    """
    top = Path(os.path.commonpath([Path(file).absolute().parent for file in files])) if files else Path()
    images, ignored = [], []
    for file in map(Path, files):
        if split_suffix(file.name)[1]:
            fault = None if file.is_file() else "no regular file, or a link to nothing"
            images.append(ImageFile(file, file.absolute().parent.relative_to(top).parts, fault))
        else:
            ignored.append(file.name)
    found = _scan(images, parse_hint(channels), ignored)
    if not found.sources and not found.rejects:
        raise UserError(f"no image among {len(files)} files; {', '.join(READERS)} are read")
    return found


@dataclass
class _Sample:
    """The files of one sample, while they are being found."""

    name: str
    folders: tuple[str, ...]
    files: dict[str | None, ImageFile] = field(default_factory=dict)  # by channel; None: the file of all channels
    fault: tuple[ImageFile, str] | None = None  # the first
    stems: list[str] = field(default_factory=list)  # of the files' names

    def add(self, file: ImageFile, channel: str | None, fault: str | None) -> None:
        """Add a file; what is wrong with it is wrong with the sample."""
        self.stems.append(split_suffix(unicodedata.normalize("NFC", file.path.name))[0])
        if fault is None and channel in self.files:
            what = f"channel {channel}" if channel else "the sample"
            fault = f"a second file for {what}, beside {self.files[channel].path.name}"
        if fault is None:
            self.files[channel] = file
        elif self.fault is None:
            self.fault = (file, fault)

    def refuse(self, fault: str) -> None:
        """Say what is wrong with the whole sample, unless something is already."""
        if self.fault is None:
            self.fault = (next(iter(self.files.values())), fault)


def _scan(files: Sequence[ImageFile], hint: ChannelHint, ignored: list[str]) -> Scan:
    samples, notes = _group(files, hint)
    ids = _find_ids(samples)
    sources: list[ImageSource] = []
    rejects: list[Reject] = []
    for sample, sample_id in sorted(zip(samples, ids, strict=True), key=lambda pair: pair[1]):
        if not is_valid_id(sample_id):
            sample.refuse(f"{sample_id!r} cannot be an id; {ID_RULE}")
        if sample.fault is not None:
            rejects.append(Reject(sample_id, sample.fault[0].shown, sample.fault[1]))
            continue
        planes = {channel: Plane(file.path, None) for channel, file in sample.files.items() if channel}
        if planes and None in sample.files:
            ignored.append(sample.files[None].shown)
        try:
            planes = planes or find_planes(sample.files[None].path, hint)
            sources.append(ImageSource(sample_id, planes, "/".join(sample.folders)))
        except UnreadableImage as error:
            rejects.append(Reject(sample_id, sample.files[None].shown, error.reason))
    names = [
        ImageName(sample_id, name, sample.folders)
        for sample, sample_id in zip(samples, ids, strict=True)
        for name in sorted({sample.name, *sample.stems})
    ]
    return Scan(tuple(sources), tuple(rejects), tuple(sorted(ignored)), notes, ImageNames(names))


def _group(files: Sequence[ImageFile], hint: ChannelHint) -> tuple[list[_Sample], tuple[str, ...]]:
    """Put the files of one sample together: of one folder and name, or of one name in folders of a channel each."""
    meaning = _find_channel_folders({file.folders for file in files}, hint)
    stems = ["/".join((*file.folders, split_suffix(file.path.name)[0])) for file in files]
    named = [(unicodedata.normalize("NFC", stem), file.path) for stem, file in zip(stems, files, strict=True)]
    placement = place_files(named, hint)
    samples: dict[tuple[tuple[str, ...], str], _Sample] = {}
    for file, (place, channel, fault) in zip(files, placement.places, strict=True):
        *folders, name = place.split("/")
        depth = max((d for d in range(len(folders)) if file.folders[: d + 1] in meaning), default=None)
        if depth is not None:
            rest, meant = meaning[file.folders[: depth + 1]]
            folders[depth : depth + 1] = rest
            if channel not in (None, meant):
                fault = f"named channel {channel}, in the folder of channel {meant}"
            channel = meant
        key = (tuple(folders), name)
        samples.setdefault(key, _Sample(name, key[0])).add(file, channel, file.fault or fault)
    return list(samples.values()), placement.notes


def _find_channel_folders(
    paths: Collection[tuple[str, ...]], hint: ChannelHint
) -> dict[tuple[str, ...], tuple[tuple[str, ...], str]]:
    """Return the folders of one channel each: their path → what is left of their name, and the channel.

    A colour, or a name that `--channels` gives, is a channel wherever it is. The name of a stain or a place is one only
    where a folder beside it is the protein's channel: `Nucleus` beside `Golgi` is a class, beside `GFP` a channel.
    """
    folders = {path[:depth] for path in paths for depth in range(1, len(path) + 1)}
    meant: dict[tuple[str, ...], tuple[tuple[str, ...], str]] = {}
    for path in folders:
        head, channel = split_name(path[-1], hint)
        rest: tuple[str, ...] = (head,) if channel else ()
        channel = channel or find_channel(path[-1], hint)
        if channel:
            meant[path] = (rest, channel)
    beside: dict[tuple[tuple[str, ...], tuple[str, ...]], set[str]] = {}  # parent and rest of the name → channels
    for path, (rest, channel) in meant.items():
        beside.setdefault((path[:-1], rest), set()).add(channel)
    return {
        path: (rest, channel)
        for path, (rest, channel) in meant.items()
        if rest or path[-1].lower() in (*CHANNELS, *hint.names) or PROTEIN in beside[path[:-1], rest]
    }


def _find_ids(samples: Sequence[_Sample]) -> list[str]:
    """Return the samples' ids: the name where it is the only one, else the folders and the name."""
    alike = Counter(sample.name for sample in samples)
    ids = [s.name if alike[s.name] == 1 else "_".join((*s.folders, s.name)) for s in samples]
    first: dict[str, _Sample] = {}
    for sample, sample_id in zip(samples, ids, strict=True):
        other = first.setdefault(sample_id, sample)
        if other is not sample:
            for one, two in ((sample, other), (other, sample)):
                where = "/".join((*two.folders, two.name))
                one.refuse(f"the id {sample_id} would be that of {where} too; rename one")
    return ids
