"""Scanning: which samples a folder holds, and where each of their channels is."""

from __future__ import annotations

import glob
import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from hpa_hier.data.images.channels import ChannelHint, parse_hint
from hpa_hier.data.images.grouping import FileGroup, find_group_ids, find_siblings, group_files
from hpa_hier.data.images.listing import LISTINGS, read_listing
from hpa_hier.data.images.names.assign import describe_names, find_given
from hpa_hier.data.images.planes import FilePlanes, NamedPlanes, Plane, find_planes
from hpa_hier.data.images.reader import UnreadableImage, holds_parts
from hpa_hier.data.images.readers import (
    FORMATS,
    READERS,
    find_fetch_fault,
    find_reader,
    is_image_folder,
    is_original,
    split_suffix,
)
from hpa_hier.data.images.walk import SIMULATED, ImageFile, find_stem, walk
from hpa_hier.data.labels.ids import ID_RULE, is_valid_id
from hpa_hier.data.labels.image_names import ImageName, ImageNames
from hpa_hier.errors import UserError
from hpa_hier.files.faults.shown import show
from hpa_hier.files.remote.path import RemotePath, is_remote, to_path
from hpa_hier.files.spelling import did_you_mean

_LISTED = 4  # names in a note
_INSIDE = 3  # folders that lead to a field of a store: itself, row and column


@dataclass(frozen=True, slots=True)
class ImageSource:
    """One sample's files."""

    id: str
    planes: Mapping[str, Plane]  # by channel
    folder: str = ""  # where its files are, in what was scanned: "plate1/A01"; a channel's own folder is left out
    name: str = field(default="", compare=False)  # what its files share, without folders

    def missing_channels(self, channels: Sequence[str]) -> tuple[str, ...]:
        """Return those of `channels` that the sample has not."""
        return tuple(channel for channel in channels if channel not in self.planes)


@dataclass(frozen=True)
class Reject:
    """A sample or file that cannot be used, and why."""

    id: str
    file: str
    reason: str

    def __post_init__(self) -> None:
        for name in ("id", "file", "reason"):  # names of files hold whatever the system lets them
            object.__setattr__(self, name, show(getattr(self, name)))

    def __str__(self) -> str:
        return f"{self.file or self.id}: {self.reason}"


class Scan(NamedTuple):
    """What a folder holds."""

    sources: tuple[ImageSource, ...]  # sorted by id
    rejects: tuple[Reject, ...]
    ignored: tuple[str, ...]  # no images, or overlays of samples with a file per channel; a folder ends in /
    notes: tuple[str, ...] = ()  # what was taken for what, for people
    names: ImageNames = ImageNames(())  # of all samples, those that cannot be used too
    meanings: Mapping[str, str | None] = MappingProxyType({})  # stains in names → channels; None: left out


def scan(images: Path | str | Sequence[Path | str], channels: str | None = None, follow_links: bool = False) -> Scan:
    """Find the samples in a folder and its sub-folders, or among files, by the names of files and folders.

    A sample's id is what its file names share. Where samples of different folders have one name, the folders come
    before it: `plate1/A01_green.png` and `plate2/A01_green.png` are `plate1_A01` and `plate2_A01`. The channels of a
    sample may lie in a folder each: `green/a.png` and `red/a.png`. Beside a file of one channel its other channels
    are found, though only the one is named.

    Args:
        images: a folder that holds `<id>_red.png` and so on, or one RGB file or many-channel TIFF a sample; or files,
            a pattern such as `plate*/*.tif`, or a CSV table of paths; or several of these.
        channels: what the user gave as `--channels`: the order of planes, or names of channels.
        follow_links: enter linked folders, and take links that leave the folder.

    Raises:
        UserError: there is no such folder or file, no image, or `channels` cannot be understood.
    """
    hint = parse_hint(channels)
    given = _expand([images] if isinstance(images, (str, Path)) else images)
    pile = _collect(given, hint, follow_links)
    files, originals = _set_originals_aside(pile.files)
    grouping = group_files([part for file in files for part in _open_parts(file)], hint)
    ignored = [*pile.ignored, *originals, *(file.shown for file in grouping.left_out)]
    scanned = _check((*pile.groups, *grouping.groups), hint, ignored, grouping.meanings)
    if not pile.groups and (scanned.sources or not scanned.rejects):
        _refuse_unused(channels, hint, scanned.meanings)
    scanned = scanned._replace(rejects=(*scanned.rejects, *pile.rejects))
    scanned = scanned._replace(notes=(*scanned.notes, *_describe_places(scanned)))
    if not scanned.sources and not scanned.rejects:
        among = f"no image among {pile.entries:,} entries of it and its sub-folders"
        shown = str(given[0]) if len(given) == 1 else f"{len(given):,} files"
        raise UserError(f"{shown}: {among if pile.entries != 1 else 'no image'}; {FORMATS} are read")
    return scanned


def find_marks(sources: Sequence[ImageSource]) -> tuple[Path, ...]:
    """Return the files that say that images are simulated cells; () where not all are."""
    folders = set[Path]()
    for planes in (source.planes for source in sources):
        if isinstance(planes, NamedPlanes):
            folders |= planes.folders
        else:
            folders |= {plane.file.parent for plane in planes.values()}
    marks = tuple(folder / SIMULATED for folder in sorted(folders))
    return marks if all(mark.is_file() for mark in marks) else ()


def count_files(sources: Sequence[ImageSource]) -> int:
    """Return how many files samples have, as many each as the first."""
    return len(sources) * len({file for plane in sources[0].planes.values() for file in plane.files}) if sources else 0


@dataclass
class _Pile:
    """What lies in the folders, files and tables that are given."""

    files: list[ImageFile] = field(default_factory=list)
    groups: list[FileGroup] = field(default_factory=list)  # of tables of paths
    ignored: list[str] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)  # folders that are not entered
    entries: int = 0


def _collect(given: Sequence[Path], hint: ChannelHint, follow_links: bool) -> _Pile:
    pile = _Pile()
    top = _find_common_folder(given)
    for place in given:
        if place.is_dir() and not is_image_folder(place):
            found = walk(place, follow_links)
            above = _name_folders(place, top)
            pile.files += (
                [replace(file, folders=(*above, *file.folders)) for file in found.files] if above else found.files
            )
            pile.ignored += ["/".join((*above, name)) for name in found.ignored]
            pile.rejects += [Reject(file.name, file.shown, str(file.fault)) for file in found.closed]
            pile.entries += found.entries
            continue
        pile.entries += 1
        if split_suffix(place.name)[1] or is_image_folder(place):
            fault = find_fetch_fault(place) or (None if place.exists() else "no regular file, or a link to nothing")
            pile.files.append(ImageFile(place, _name_folders(place.parent, top), fault))
        elif place.suffix.lower() in LISTINGS and len(given) == 1:
            pile.groups += read_listing(place, hint)
        else:
            pile.ignored.append(place.name)
    if not any(place.is_dir() for place in given):
        pile.files += find_siblings(pile.files, hint)
    return pile


def _name_folders(folder: Path, top: Path) -> tuple[str, ...]:
    """Return the names that lead from one folder to another one in it."""
    return tuple(folder.absolute().parts[len(top.parts) :])


def _describe_places(found: Scan) -> list[str]:
    """Say which folders samples are in, where they are several, and what was left aside."""
    folders = list(dict.fromkeys(source.folder or "the folder itself" for source in found.sources))
    lines = [f"samples are in {len(folders):,} folders: {_some(folders)}"] if len(folders) > 1 else []
    told = [name for name in found.ignored if not name.rstrip("/").rpartition("/")[2].startswith(".")]
    if told:
        lines.append(f"left aside, as no images of samples: {_some(told)}")
    return lines


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more}"


def _refuse_unused(typed: str | None, hint: ChannelHint, meanings: Mapping[str, str | None]) -> None:
    """Raise the UserError of a name that the user gave and no file or plane has."""
    for name, channel in hint.names.items():
        if meanings and not any(find_given(one, {name: channel}) for one in meanings):
            there = f"they are called {', '.join(meanings)}"
            meant = did_you_mean(name, meanings)
            raise UserError(f"--channels {typed}: no file and no plane is called {name}; {there}{meant}")


def _expand(given: Sequence[Path | str]) -> list[Path]:
    """Return the folders and files that are given, those that a pattern fits in its place."""
    places: list[Path] = []
    for one in map(to_path, given):
        if isinstance(one, RemotePath):
            places += _expand_remote(one)
            continue
        if one.exists() or one.is_symlink() or not glob.has_magic(str(one)):
            places.append(one)
            continue
        fitting = sorted(glob.glob(str(one), recursive=True))  # noqa: PTH207  (pathlib has none for whole paths)
        if not fitting:
            raise UserError(f"{one}: no file fits this pattern; check it with ls")
        places += [Path(file) for file in fitting]
    if not places:
        raise UserError("no image is given; name a folder, or files")
    if len(places) == 1 and not places[0].exists() and not places[0].is_symlink():
        raise UserError(f"{places[0]}: no such file or folder; check the path")
    return places


def _expand_remote(place: RemotePath) -> list[Path]:
    """Return a remote folder or file that is there, or those that a pattern fits."""
    if not glob.has_magic(str(place)):
        if not place.exists():
            raise UserError(f"{place}: no such bucket, folder or file; check the address")
        return [place]
    parts = place.parts
    first = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    fitting: list[Path] = list(RemotePath(*parts[:first]).glob("/".join(parts[first:])))
    if not fitting:
        raise UserError(f"{place}: no file fits this pattern; check it")
    return fitting


def _find_common_folder(given: Sequence[Path]) -> Path:
    """Return the folder that all are in; one folder is its own."""
    if len(given) == 1 and given[0].is_dir() and not is_image_folder(given[0]):
        return given[0].absolute()
    parents = [place.absolute().parent.parts for place in given]
    if len({isinstance(place, RemotePath) for place in given}) > 1 or len({parts[0] for parts in parents}) > 1:
        raise UserError(f"{given[0]}, {given[-1]}: are in different places; give those of each place apart")
    kind = RemotePath if isinstance(given[0], RemotePath) else Path
    return kind(*(same[0] for same in itertools.takewhile(_are_one, zip(*parents, strict=False))))


def _are_one(names: Sequence[str]) -> bool:
    return len({*names}) == 1


def _set_originals_aside(files: Sequence[ImageFile]) -> tuple[list[ImageFile], list[str]]:
    """Leave out files of a microscope, or of a format that is not read, beside images made of them."""
    made: dict[tuple[str, ...], list[str]] = {}  # folder → names of readable images
    for file in files:
        if not is_original(file.name):
            made.setdefault(file.folders, []).append(file.stem)
    kept, aside = [], []
    for file in files:
        exported = is_original(file.name) and any(stem.startswith(file.stem) for stem in made.get(file.folders, ()))
        aside.append(file.shown) if exported else kept.append(file)
    return kept, aside


def _open_parts(file: ImageFile) -> list[ImageFile]:
    """Return the images that a file holds; the file itself where it is one."""
    reader = READERS.get(split_suffix(file.name)[1]) or find_reader(file.path)
    if file.fault or is_remote(file.place) or not holds_parts(reader):
        return [file]
    try:
        parts = reader.parts(file.path)
    except UnreadableImage as error:
        return [replace(file, fault=error.reason)]
    if len(parts) == 1 and parts[0].path == file.path:
        return [file]
    return [
        ImageFile(part.path, file.folders, file.fault, f"{file.stem}_{part.name}" if part.name else file.stem)
        for part in parts
    ]


def _check(
    groups: Sequence[FileGroup], hint: ChannelHint, ignored: list[str], meanings: Mapping[str, str | None]
) -> Scan:
    """Find the planes of each sample, and what is wrong with it."""
    taken = dict(meanings)
    ids = find_group_ids(groups)
    sources: list[ImageSource] = []
    rejects: list[Reject] = []
    names: list[ImageName] = []  # of those whose sources do not tell
    for sample, sample_id in sorted(zip(groups, ids, strict=True), key=lambda pair: pair[1]):
        if not is_valid_id(sample_id):
            sample.refuse(f"{sample_id!r} cannot be an id; {ID_RULE}")
        planes: Mapping[str, Plane] = {}
        try:
            if sample.fault is not None:
                rejects.append(Reject(sample_id, sample.fault[0].shown, sample.fault[1]))
            elif any(sample.files):
                planes = _find_own(sample)
                ignored += [sample.files[None].shown] if None in sample.files else []
            else:
                planes, named = _find_inside(sample.files[None], hint)
                taken.update(named)
        except UnreadableImage as error:
            rejects.append(Reject(sample_id, sample.files[None].shown, error.reason))
        if planes:
            sources.append(ImageSource(sample_id, planes, sys.intern("/".join(sample.folders)), sample.name))
        if not isinstance(planes, NamedPlanes) or len(sample.every) > len(planes.names):
            names += _name(sample, sample_id)
    notes = tuple(filter(None, [describe_names(taken)]))
    kept = tuple(sources)
    known = ImageNames(_Names(kept, names))
    return Scan(kept, tuple(rejects), tuple(sorted(ignored)), notes, known, taken)


def _find_own(sample: FileGroup) -> Mapping[str, Plane]:
    """Return the planes of a sample with a file, or several sections, for each channel."""
    files = {channel: file for channel, file in sample.files.items() if channel}
    if not sample.sections and all(file.entry for file in files.values()):
        return NamedPlanes({channel: (file.place, file.entry, None) for channel, file in files.items()})
    return {
        channel: Plane(file.path, None, tuple(one.path for _, one in sorted(sample.sections.get(channel, {}).items())))
        for channel, file in files.items()
    }


def _find_inside(file: ImageFile, hint: ChannelHint) -> FilePlanes:
    """Return the planes of a file of several channels, as `find_planes` does."""
    found = find_planes(file.path, hint)
    if not file.entry:
        return found
    where = {channel: (file.place, file.entry, plane.index) for channel, plane in found.planes.items()}
    return found._replace(planes=NamedPlanes(where))


def _name(sample: FileGroup, sample_id: str) -> Iterator[ImageName]:
    """Yield the names that a sample is known by."""
    for name in sorted({sample.name, *sample.stems}):
        yield ImageName(sample_id, name, sample.folders)
    for file in sample.files.values():
        if file.part and file.path.is_dir():  # rows may give a place in a store, screen.zarr/B/12/0
            yield ImageName(sample_id, file.path.name, file.path.parent.parts[-_INSIDE:])


@dataclass(frozen=True)
class _Names(Iterable[ImageName]):
    """The names of all samples, which are made of those of their files while they are looked at."""

    sources: tuple[ImageSource, ...]
    others: Sequence[ImageName]

    def __iter__(self) -> Iterator[ImageName]:
        yield from self.others
        for one in self.sources:
            if isinstance(one.planes, NamedPlanes):
                for name in sorted({one.name, *map(find_stem, one.planes.names)}):
                    yield ImageName(one.id, name, tuple(one.folder.split("/")) if one.folder else ())
