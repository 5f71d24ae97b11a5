"""Grouping: which files are one sample, and what it is called."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hpa_hier.data.images.channels import CHANNELS, PROTEIN, ChannelHint, split_name
from hpa_hier.data.images.names.assign import assign_channels, read_stains
from hpa_hier.data.images.names.file_names import place_files
from hpa_hier.data.images.names.stains import Kind
from hpa_hier.data.images.readers import split_suffix
from hpa_hier.data.images.walk import ImageFile


@dataclass(slots=True)
class FileGroup:
    """The files of one sample, while they are being found."""

    name: str
    folders: tuple[str, ...]
    files: dict[str | None, ImageFile] = field(default_factory=dict)  # by channel; None: the file of all channels
    fault: tuple[ImageFile, str] | None = None  # the first
    every: list[ImageFile] = field(default_factory=list)  # those with a fault too
    sections: dict[str, dict[int, ImageFile]] = field(default_factory=dict)  # by channel, where a section is a file

    def add(self, file: ImageFile, channel: str | None, fault: str | None, section: int | None = None) -> None:
        """Add a file; what is wrong with it is wrong with the sample."""
        self.every.append(file)
        if fault is None and channel and section is not None and section not in self.sections.get(channel, {}):
            self.sections.setdefault(channel, {})[section] = file
            self.files.setdefault(channel, file)
            return
        if fault is None and channel in self.files:
            what = f"channel {channel}" if channel else "the sample"
            fault = f"a second file for {what}, beside {self.files[channel].name}"
        if fault is None:
            self.files[channel] = file
        elif self.fault is None:
            self.fault = (file, fault)

    @property
    def stems(self) -> set[str]:
        """Stems of the files' names."""
        return {file.stem for file in self.every}

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
    placement = place_files(
        [unicodedata.normalize("NFC", "/".join((*file.folders, file.stem))) for file in files],
        lambda i: files[i].path,
        hint,
    )
    meanings = dict(placement.meanings)
    named = ((file.folders, place.id.rpartition("/")[2]) for file, place in zip(files, placement.places, strict=True))
    of_channels = _find_channel_folders(named, hint)
    samples: dict[tuple[tuple[str, ...], str], FileGroup] = {}
    left_out = []
    for file, (place, channel, fault, section, is_left_out) in zip(files, placement.places, strict=True):
        *folders, name = place.split("/")
        depth = max((d for d in range(len(folders)) if file.folders[: d + 1] in of_channels), default=None)
        if depth is not None:
            rest, meant, question = of_channels[file.folders[: depth + 1]]
            meanings[file.folders[depth].removeprefix("".join(rest)).lstrip("_-.")] = meant
            folders[depth : depth + 1] = rest
            fault = question
            if meant and channel not in (None, meant):
                fault = f"named channel {channel}, in the folder of channel {meant}"
            channel, is_left_out = meant, meant is None and not question
        if is_left_out:
            left_out.append(file)
            continue
        key = (tuple(folders), name)
        group = samples.get(key)
        if group is None:
            group = samples[key] = FileGroup(name, key[0])
        group.add(file, channel, file.fault or fault, section)
    return Grouping(list(samples.values()), meanings, left_out)


class _ChannelFolder(NamedTuple):
    """A folder of one channel."""

    rest: tuple[str, ...]  # what is left of its name without the channel's
    channel: str | None  # None: left out, or a question
    question: str | None = None  # what only the user can say


def _find_channel_folders(
    places: Iterable[tuple[tuple[str, ...], str]], hint: ChannelHint
) -> dict[tuple[str, ...], _ChannelFolder]:
    """Find the folders of one channel each.

    A colour, or a name that `--channels` gives, is a channel wherever it is. The name of a stain is one where files are
    called alike in folders beside it, of which one is called by a dye, a fluorescent protein or as the protein:
    `Nucleus` beside `Golgi` is a class, beside `GFP` a channel.

    Args:
        places: the folders that each file is in, and the name of its sample.
        hint: what the user said about channels.
    """
    below: dict[tuple[str, ...], dict[tuple[str, ...], set[str]]] = {}  # folder → folders in it → samples' names
    for folders, name in places:
        for depth, folder in enumerate(folders):
            inside = "/".join((*folders[depth + 1 :], name))
            below.setdefault(folders[:depth], {}).setdefault((*folders[:depth], folder), set()).add(inside)
    found: dict[tuple[str, ...], _ChannelFolder] = {}
    for beside in below.values():
        found |= _find_coloured(list(beside), hint)
        count = Counter(name for names in beside.values() for name in names)
        alike = [path for path, names in beside.items() if any(count[name] > 1 for name in names)]
        found |= _find_stained([path for path in alike if path not in found or not found[path].rest], hint)
    return found


def _find_coloured(paths: Sequence[tuple[str, ...]], hint: ChannelHint) -> dict[tuple[str, ...], _ChannelFolder]:
    """Find folders called by a colour or by the user's name for a channel, as `red` or, of several, `plate1_red`."""
    own = {**{channel: channel for channel in CHANNELS}, **hint.names}
    found = {path: _ChannelFolder((), own[path[-1].lower()]) for path in paths if path[-1].lower() in own}
    ends = {path: split_name(path[-1], hint) for path in paths if path not in found}
    together = Counter(rest for rest, channel in ends.values() if channel)
    for path, (rest, channel) in ends.items():
        if channel and together[rest] > 1:
            found[path] = _ChannelFolder((rest,), channel)
    return found


def _find_stained(paths: Sequence[tuple[str, ...]], hint: ChannelHint) -> dict[tuple[str, ...], _ChannelFolder]:
    """Find which of several folders with files called alike are of one channel each, by the stains in their names."""
    names = [path[-1] for path in paths]
    stains = [stain for stain in read_stains(names) if stain]
    if len(stains) < 2 or not any(stain.kind is not Kind.PLACE or PROTEIN in stain.channels for stain in stains):
        return {}
    channels, question = assign_channels(names, hint.names)
    return {path: _ChannelFolder((), channel, question) for path, channel in zip(paths, channels, strict=True)}


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
        there = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
        paths = [path for path in there if split_suffix(path.name)[1]]
        images = [ImageFile(path, folders) for path in paths]
        places = place_files([image.stem for image in images], paths.__getitem__, hint).places
        one_channel = {i for i, place in enumerate(places) if place.channel or place.left_out or place.fault}
        wanted = {places[i].id for i in one_channel if images[i].path.absolute() in own}
        found += [images[i] for i in sorted(one_channel) if places[i].id in wanted]
    return [image for image in found if image.path.absolute() not in own]
