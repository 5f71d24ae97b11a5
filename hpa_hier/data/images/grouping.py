"""Grouping: which files are one sample, and what it is called."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hpa_hier.data.images.channels import CHANNELS, PROTEIN, ChannelHint, find_channel, split_name
from hpa_hier.data.images.names.file_names import place_files
from hpa_hier.data.images.readers import split_suffix
from hpa_hier.data.images.walk import ImageFile


@dataclass
class FileGroup:
    """The files of one sample, while they are being found."""

    name: str
    folders: tuple[str, ...]
    files: dict[str | None, ImageFile] = field(default_factory=dict)  # by channel; None: the file of all channels
    fault: tuple[ImageFile, str] | None = None  # the first
    stems: list[str] = field(default_factory=list)  # of the files' names
    sections: dict[str, dict[int, ImageFile]] = field(default_factory=dict)  # by channel, where a section is a file

    def add(self, file: ImageFile, channel: str | None, fault: str | None, section: int | None = None) -> None:
        """Add a file; what is wrong with it is wrong with the sample."""
        self.stems.append(file.stem)
        if fault is None and channel and section is not None and section not in self.sections.get(channel, {}):
            self.sections.setdefault(channel, {})[section] = file
            self.files.setdefault(channel, file)
            return
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


class Grouping(NamedTuple):
    """What files belong together."""

    groups: list[FileGroup]
    meanings: Mapping[str, str | None]  # stains in names → the channels they were taken for; None: left out
    left_out: list[ImageFile]  # of stains that are none of the channels


def group_files(files: Sequence[ImageFile], hint: ChannelHint) -> Grouping:
    """Put the files of one sample together: of one folder and name, or of one name in folders of a channel each."""
    meaning = _find_channel_folders({file.folders for file in files}, hint)
    stems = [unicodedata.normalize("NFC", "/".join((*file.folders, file.stem))) for file in files]
    placement = place_files([(stem, file.path) for stem, file in zip(stems, files, strict=True)], hint)
    samples: dict[tuple[tuple[str, ...], str], FileGroup] = {}
    left_out = []
    for file, (place, channel, fault, section, is_left_out) in zip(files, placement.places, strict=True):
        if is_left_out:
            left_out.append(file)
            continue
        *folders, name = place.split("/")
        depth = max((d for d in range(len(folders)) if file.folders[: d + 1] in meaning), default=None)
        if depth is not None:
            rest, meant = meaning[file.folders[: depth + 1]]
            folders[depth : depth + 1] = rest
            if channel not in (None, meant):
                fault = f"named channel {channel}, in the folder of channel {meant}"
            channel = meant
        key = (tuple(folders), name)
        samples.setdefault(key, FileGroup(name, key[0])).add(file, channel, file.fault or fault, section)
    return Grouping(list(samples.values()), placement.meanings, left_out)


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


def find_group_ids(samples: Sequence[FileGroup]) -> list[str]:
    """Return the samples' ids: the name where it is the only one, else the folders and the name."""
    alike = Counter(sample.name for sample in samples)
    ids = [s.name if alike[s.name] == 1 else "_".join((*s.folders, s.name)) for s in samples]
    first: dict[str, FileGroup] = {}
    for sample, sample_id in zip(samples, ids, strict=True):
        other = first.setdefault(sample_id, sample)
        if other is not sample:
            for one, two in ((sample, other), (other, sample)):
                where = "/".join((*two.folders, two.name))
                one.refuse(f"the id {sample_id} would be that of {where} too; rename one")
    return ids


def find_siblings(files: Sequence[ImageFile], hint: ChannelHint) -> list[ImageFile]:
    """Return the files of the other channels beside those of one channel: who names one of them means the sample."""
    own = {file.path.absolute() for file in files if file.fault is None}
    found = []
    for folder, folders in {file.path.parent: file.folders for file in files if file.fault is None}.items():
        paths = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
        images = [ImageFile(path, folders) for path in paths if split_suffix(path.name)[1]]
        places = place_files([(image.stem, image.path) for image in images], hint).places
        one_channel = {i for i, place in enumerate(places) if place.channel or place.left_out or place.fault}
        wanted = {places[i].id for i in one_channel if images[i].path.absolute() in own}
        found += [images[i] for i in sorted(one_channel) if places[i].id in wanted]
    return [image for image in found if image.path.absolute() not in own]
