"""Styles of a folder of pictures, whole ones or of one channel each: read once, as a pack's images were."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hpa_hier.data.images.read import read_image
from hpa_hier.data.images.reader import UnreadableImage
from hpa_hier.data.images.scan import scan
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import text_digest
from hpa_hier.files.faults.folder import list_files
from hpa_hier.models.augment.style import Rings, Styles, look_of

_MOST = 512  # pictures that are read; of more, evenly spaced ones


def read_styles(folder: Path, channels: Sequence[str], size: int, intensity: str) -> Styles:
    """Read what pictures look like in each channel.

    Args:
        folder: of pictures of any format that is read, each of all channels, or of some.
        channels: C names, of the images that are to change.
        size: S, pixels, side of these images.
        intensity: rule by which they became 8 bits.

    Raises:
        UserError: there is no picture of any of the channels that can be read.
    """
    try:
        found = scan(folder)
    except UserError as error:
        raise UserError(f"training.augment.styles: {error}") from None
    chosen = np.linspace(0, len(found.sources) - 1, min(_MOST, len(found.sources))).round().astype(int)
    planes: list[list[np.ndarray]] = [[] for _ in channels]
    reason = "" if found.sources else str(found.rejects[0])
    for source in (found.sources[i] for i in chosen):
        try:
            read = read_image(source, size, channels, intensity, may_be_missing=channels)
        except UnreadableImage as error:
            reason = f"{error.file}: {error.reason}"
            continue
        for channel, plane, pictures in zip(channels, read.image, planes, strict=True):
            if channel not in read.missing and plane.any():
                pictures.append(plane)
    if not any(planes):
        why = reason or "all are black"
        raise UserError(f"training.augment.styles: {folder}: no picture of {', '.join(channels)} can be used; {why}")
    rings, none = Rings(size), np.empty((0, size, size), np.uint8)
    return Styles(rings, tuple(look_of(np.array(some) if some else none, rings) for some in planes))


def describe_styles(styles: Styles, folder: Path | str, channels: Sequence[str]) -> str:
    """Say how many pictures of each channel there are.

    >>> rings = Rings(8)
    >>> describe_styles(Styles(rings, (look_of(np.ones((3, 8, 8), np.uint8), rings),)), "real", ("green",))
    'styles of real: pictures with green 3'
    """
    counts = [f"{name} {count:,}" for name, count in zip(channels, styles.counts, strict=True)]
    return f"styles of {folder}: pictures with {', '.join(counts)}"


def folder_digest(folder: Path) -> str:
    """Return 16 hex digits that change with the names and sizes of a folder's files."""
    files = (path for path in list_files(folder) if path.is_file())
    return text_digest(*(f"{path.relative_to(folder)} {path.stat().st_size}" for path in files))
