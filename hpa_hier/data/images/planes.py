"""Planes: where the channels of a sample are, in files of one channel and of several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from hpa_hier.data.images.channels import CHANNELS, ChannelHint
from hpa_hier.data.images.names.assign import assign_channels, is_numbered, propose_names, propose_order, read_stains
from hpa_hier.data.images.reader import Layout, UnreadableImage
from hpa_hier.data.images.readers import find_reader


@dataclass(frozen=True, slots=True)
class Plane:
    """Where one channel of a sample is."""

    file: Path
    index: int | None  # plane of a file that holds several; None: the whole file is this channel
    sections: tuple[Path, ...] = ()  # the files of a z stack of which each section is one, from the bottom up

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that it is read from."""
        return self.sections or (self.file,)


class NamedPlanes(Mapping[str, Plane]):
    """Planes of files in folders that samples share, in a tenth of the memory that a path for each would take.

    Args:
        where: of each channel, the folder, the file's name, and the plane as `Plane.index`.

    >>> NamedPlanes({"green": (Path("lab"), "a.tif", 1)})["green"]
    Plane(file=PosixPath('lab/a.tif'), index=1, sections=())
    """

    __slots__ = ("_names", "_shared")

    def __init__(self, where: Mapping[str, tuple[Path, str, int | None]]) -> None:
        folders, self._names, indices = zip(*where.values(), strict=True)
        self._shared = _share(tuple(zip(where, folders, indices, strict=True)))

    def __getitem__(self, channel: str) -> Plane:
        for (own, folder, index), name in zip(self._shared, self._names, strict=True):
            if own == channel:
                return Plane(folder / name, index)
        raise KeyError(channel)

    def __iter__(self) -> Iterator[str]:
        return (channel for channel, _, _ in self._shared)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, channel: object) -> bool:
        return any(own == channel for own, _, _ in self._shared)

    @property
    def names(self) -> frozenset[str]:
        """Names of the files."""
        return frozenset(self._names)

    @property
    def folders(self) -> frozenset[Path]:
        """Folders of the files."""
        return frozenset(folder for _, folder, _ in self._shared)


@lru_cache(1024)
def _share(value: tuple[tuple[str, Path, int | None], ...]) -> tuple[tuple[str, Path, int | None], ...]:
    """Return one object for values that are equal."""
    return value


class FilePlanes(NamedTuple):
    """The channels of a file."""

    planes: Mapping[str, Plane]  # by channel
    meanings: Mapping[str, str | None]  # what the file calls its planes → channel; None: left out


def find_planes(file: Path, hint: ChannelHint) -> FilePlanes:
    """Find the channels of a file that holds several: by --channels, else by the file's own names, else RGB.

    Raises:
        UnreadableImage: the file cannot be used, or only the user can say which plane is which channel.
    """
    layout = find_reader(file).layout(file)
    if hint.order and layout.planes != 1:
        if layout.planes not in (None, len(hint.order)):
            raise UnreadableImage(file, f"{layout.planes} planes where --channels names {len(hint.order)}")
        return FilePlanes(_number(file, hint.order), {})
    order, meanings = _order_by_names(file, layout, hint)
    if any(order):
        whole = layout.planes == 1
        return FilePlanes({c: Plane(file, None) for c in order if c} if whole else _number(file, order), meanings)
    if layout.planes == 1:
        several = (f"a z stack of {layout.sections} sections", f"a time series of {layout.frames} frames")
        kinds = [what for what, n in zip(several, (layout.sections, layout.frames), strict=True) if n > 1]
        what = f"{' and '.join(kinds)} of one channel" if kinds else "one grey plane"
        own = f" (it calls it {layout.names[0]})" if layout.names else ""
        cure = f"name it <id>_green{file.suffix.lower()}, or as it is"
        raise UnreadableImage(file, f"{what}{own}, and no channel in its name; {cure}")
    if layout.rgb:
        return FilePlanes(_number(file, CHANNELS[:3]), {})
    typed = [] if all(map(is_numbered, layout.names)) else list(layout.names)
    own = f" (it calls them {', '.join(layout.names)})" if layout.names else ""
    propose = propose_names(typed) if len(set(typed)) > 1 else propose_order(layout.planes or 0)
    raise UnreadableImage(file, f"{layout.planes} planes without known names{own}; say which is which, as in {propose}")


def _order_by_names(
    file: Path, layout: Layout, hint: ChannelHint
) -> tuple[Sequence[str | None], dict[str, str | None]]:
    """Return the channel of each plane by the names that the file has."""
    names = layout.names
    if len(set(names)) < len(names):  # of planes with one name nothing can be said
        names = tuple(name if names.count(name) == 1 else f"{name} ({i + 1})" for i, name in enumerate(names))
    assignment = assign_channels(names, hint.names)
    if assignment.question is None:
        return assignment.channels, dict(zip(names, assignment.channels, strict=True))
    if any(assignment.channels) or any(read_stains(names)):
        raise UnreadableImage(file, f"planes {', '.join(names)}: {assignment.question}")
    return (), {}


def _number(file: Path, order: Sequence[str | None]) -> dict[str, Plane]:
    return {channel: Plane(file, index) for index, channel in enumerate(order) if channel is not None}
