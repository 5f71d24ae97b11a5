"""Readers: which file format is read by what."""

from __future__ import annotations

from pathlib import Path

from hpa_hier.data.images.formats import microscope, ome_zarr, unread
from hpa_hier.data.images.formats.fetched import NOT_FETCHED, FetchedReader
from hpa_hier.data.images.formats.png_jpeg import PngJpegReader
from hpa_hier.data.images.formats.tiff import TiffReader
from hpa_hier.data.images.reader import Reader
from hpa_hier.files.remote.path import is_remote

_PNG_JPEG, _TIFF, _ZARR = PngJpegReader(), TiffReader(), ome_zarr.OmeZarrReader()
READERS: dict[str, Reader] = {  # by suffix in lower case; the longest that fits a name counts
    ".png": _PNG_JPEG,
    ".jpg": _PNG_JPEG,
    ".jpeg": _PNG_JPEG,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".ome.tif": _TIFF,
    ".ome.tiff": _TIFF,
    ".zarr": _ZARR,
    ".ome.zarr": _ZARR,
    **dict.fromkeys(microscope.FORMATS, microscope.MicroscopeReader()),
    **dict.fromkeys(unread.CURES, unread.UnreadReader()),
}
_FETCHED = {  # the formats of which one file is one image
    suffix: FetchedReader(reader, by_head=reader is _PNG_JPEG)
    for suffix, reader in READERS.items()
    if reader in (_PNG_JPEG, _TIFF)
}
_ORIGINALS = {*microscope.FORMATS, *unread.CURES}
FORMATS = "PNG, JPEG, TIFF and OME-Zarr"  # for people


def split_suffix(name: str) -> tuple[str, str]:
    """Split a file name into its stem and the suffix that `READERS` has a row for; "" where none fits.

    >>> split_suffix("a_green.PNG"), split_suffix("b.1.ome.tif"), split_suffix("labels.csv"), split_suffix("png")
    (('a_green', '.png'), ('b.1', '.ome.tif'), ('labels.csv', ''), ('png', ''))
    """
    _, *parts = name.lower().rsplit(".", 2)  # no suffix has more than two dots
    for suffix in (f".{'.'.join(parts)}", f".{parts[-1]}") if parts else ():
        if suffix in READERS:
            return name[: len(name) - len(suffix)], suffix
    return name, ""


def find_reader(path: Path) -> Reader:
    """Return what reads an image: by its suffix, or of a part of a file by the file's; folders are OME-Zarr."""
    suffix = split_suffix(path.name)[1]
    if is_remote(path):
        return _FETCHED[suffix]
    if suffix:
        return READERS[suffix]
    return _ZARR if path.is_dir() else READERS[split_suffix(path.parent.name)[1]]


def is_image_folder(path: Path) -> bool:
    """Tell whether a folder is an image: a Zarr store, by its name or by what is in it."""
    if is_remote(path):  # a store's files are not fetched
        return False
    return path.is_dir() and (
        READERS.get(split_suffix(path.name)[1]) is _ZARR or any((path / name).is_file() for name in ome_zarr.METADATA)
    )


def find_fetch_fault(path: Path) -> str | None:
    """Return why an image cannot be read from where it is; None: it can."""
    if is_remote(path) and split_suffix(path.name)[1] not in _FETCHED:
        return NOT_FETCHED
    return None


def is_original(name: str) -> bool:
    """Tell whether a file is one of a microscope, or of a format that is not read, from which others may be made."""
    return split_suffix(name)[1] in _ORIGINALS


def find_file(path: Path) -> Path:
    """Return the file on disk that tells whether an image has changed: of a part of a file the file."""
    if is_remote(path):
        return path
    if path.is_dir():
        return next((path / name for name in ome_zarr.METADATA if (path / name).is_file()), path)
    return microscope.find_file(path)
