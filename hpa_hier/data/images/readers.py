"""Readers: which file format is read by what."""

from __future__ import annotations

from pathlib import Path

from hpa_hier.data.images.formats.png_jpeg import PngJpegReader
from hpa_hier.data.images.formats.tiff import TiffReader
from hpa_hier.data.images.reader import Reader

_PNG_JPEG, _TIFF = PngJpegReader(), TiffReader()
READERS: dict[str, Reader] = {  # by suffix in lower case; the longest that fits a name counts
    ".png": _PNG_JPEG,
    ".jpg": _PNG_JPEG,
    ".jpeg": _PNG_JPEG,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".ome.tif": _TIFF,
    ".ome.tiff": _TIFF,
}
FORMATS = "PNG, JPEG and TIFF"  # for people


def is_image_folder(path: Path) -> bool:
    """Tell whether a folder is one image."""
    return False


def split_suffix(name: str) -> tuple[str, str]:
    """Split a file name into its stem and the suffix that `READERS` has a row for; "" where none fits.

    >>> split_suffix("a_green.PNG"), split_suffix("b.ome.tif"), split_suffix("labels.csv")
    (('a_green', '.png'), ('b', '.ome.tif'), ('labels.csv', ''))
    """
    suffix = max((known for known in READERS if name.lower().endswith(known)), key=len, default="")
    return name[: len(name) - len(suffix)], suffix
