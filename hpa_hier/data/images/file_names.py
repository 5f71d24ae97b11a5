"""File names: which sample and which channel each file of a folder belongs to, decided for all files together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hpa_hier.data.images.channels import ChannelHint, split_name


class Place(NamedTuple):
    """Where one file belongs."""

    id: str
    channel: str | None  # None: a file of all channels
    fault: str | None = None  # why the file cannot be placed


class Placement(NamedTuple):
    """Where the files of a folder belong."""

    places: tuple[Place, ...]  # one a file, in the order given
    notes: tuple[str, ...] = ()  # what was taken for what


def place_files(files: Sequence[tuple[str, Path]], hint: ChannelHint) -> Placement:
    """Find the sample and the channel of each file by its name, beside the names of the others.

    Args:
        files: stem and path of each. A stem may hold folders, `plate1/a_red`: they stay in front of the id.
        hint: what the user said about channels.
    """
    return Placement(tuple(Place(*_split(stem, hint)) for stem, _ in files))


def _split(stem: str, hint: ChannelHint) -> tuple[str, str | None]:
    folder, slash, name = stem.rpartition("/")
    sample_id, channel = split_name(name, hint)
    return folder + slash + sample_id, channel
