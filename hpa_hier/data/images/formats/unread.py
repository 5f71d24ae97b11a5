"""Formats of pictures that are not read, and what to save instead."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hpa_hier.data.images.reader import Layout, UnreadableImage

_ONE_PLANE = "save each channel as PNG or TIFF"
CURES = {  # by suffix: what it is, and the cure
    **dict.fromkeys((".bmp", ".dib"), ("a bitmap", _ONE_PLANE)),
    ".gif": ("a GIF, of 256 colours at most", "save the original as PNG or TIFF"),
    ".webp": ("a WebP", _ONE_PLANE),
    **dict.fromkeys((".jp2", ".j2k"), ("a JPEG 2000", _ONE_PLANE)),
    **dict.fromkeys((".svs", ".ndpi", ".mrxs", ".bif"), ("a whole slide", "export fields of it as TIFF, as in QuPath")),
    ".dcm": ("DICOM", "export it as TIFF, as in Fiji: File > Save As > Tiff"),
    **dict.fromkeys((".zarr.zip", ".ozx"), ("a zipped OME-Zarr", "unpack it into a folder that ends in .zarr")),
}


class UnreadReader:
    """A format that is refused with its cure."""

    def layout(self, path: Path) -> Layout:
        """Raise the UnreadableImage of the format."""
        suffix = max((one for one in CURES if path.name.lower().endswith(one)), key=len)
        what, cure = CURES[suffix]
        raise UnreadableImage(path, f"{what}, which is not read; {cure}")

    def read(self, path: Path) -> np.ndarray:
        """Raise the UnreadableImage of the format."""
        self.layout(path)
        raise AssertionError
