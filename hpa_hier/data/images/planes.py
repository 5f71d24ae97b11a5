"""Planes: where the channels of a sample are, in files of one channel and of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpa_hier.data.images.channels import CHANNELS, ChannelHint, find_channel
from hpa_hier.data.images.reader import UnreadableImage
from hpa_hier.data.images.readers import find_reader


@dataclass(frozen=True)
class Plane:
    """Where one channel of a sample is."""

    file: Path
    index: int | None  # plane of a file that holds several; None: the whole file is this channel


def find_planes(file: Path, hint: ChannelHint) -> dict[str, Plane]:
    """Find the channels of a file that holds several: by --channels, else by the file's own names, else RGB."""
    layout = find_reader(file).layout(file)
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
        cure = "say which is which, as in --channels red,green,blue,yellow"
        raise UnreadableImage(file, f"{layout.planes} planes without known names{own}; {cure}")
    return {channel: Plane(file, index) for index, channel in enumerate(order) if channel is not None}
