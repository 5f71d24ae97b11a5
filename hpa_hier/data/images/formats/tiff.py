"""TIFF files: their planes and plane names, checked before anything is decoded."""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from hpa_hier.data.images.reader import MAX_BYTES, Layout, UnreadableImage, check_bytes, check_pixels

MAX_PLANES = 16  # more along the channel axis is a focus stack or a film
_MAX_PAGES = 8192  # some writers give (H, W, C) arrays one page a row of pixels

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # a bad file is listed with its reason once, by us


@dataclass(frozen=True)
class _TiffLayout(Layout):
    """How the planes of a TIFF lie."""

    axis: int | None = None  # of the array, which counts the planes; None: a single plane


class TiffReader:
    """TIFFs of one image: (C, H, W), (H, W, C) or (H, W), 8 or 16 bits; OME and ImageJ name their planes."""

    def layout(self, path: Path) -> Layout:
        """Return how a file's planes lie, without decoding them."""
        with _open(path) as tiff:
            return _layout(path, tiff)

    def read(self, path: Path) -> np.ndarray:
        """Decode a file to (P, H, W)."""
        with _open(path) as tiff:
            axis = _layout(path, tiff).axis
            try:
                array = tiff.series[0].asarray(maxworkers=1)
            except Exception as error:  # the decoders raise whatever their libraries do
                if "imagecodecs" in str(error):
                    raise UnreadableImage(path, f"{error}: `pip install 'hpa-hier[tiff]'` reads it") from None
                raise UnreadableImage(path, f"damaged: {type(error).__name__}: {error}") from None
        if array.ndim > (2 if axis is None else 3):
            array = array.squeeze()
        return array[None] if axis is None else np.moveaxis(array, axis, 0)


def _open(path: Path) -> tifffile.TiffFile:
    check_bytes(path)
    try:
        return tifffile.TiffFile(path)
    except Exception as error:  # a damaged header raises whatever its bytes happen to mean
        raise UnreadableImage(path, f"no readable TIFF: {type(error).__name__}: {error}") from None


def _layout(path: Path, tiff: tifffile.TiffFile) -> _TiffLayout:
    try:
        series = tiff.series
        if len(series) != 1:
            raise UnreadableImage(path, f"holds {len(series)} images; save one image a file")
        shape, axes, dtype = tuple(series[0].shape), str(series[0].axes), series[0].dtype
        _check_data(path, series[0])
        names = _names(tiff)
    except UnreadableImage:
        raise
    except Exception as error:
        raise UnreadableImage(path, f"no readable TIFF: {type(error).__name__}: {error}") from None
    if dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        raise UnreadableImage(path, f"{dtype} pixels; save it with 8 or 16 bits, unsigned")
    if len(shape) > 3:  # axes of length 1 say nothing
        kept = [(n, axis) for n, axis in zip(shape, axes, strict=True) if n > 1]
        shape, axes = tuple(n for n, _ in kept), "".join(axis for _, axis in kept)
    if len(shape) == 2:
        check_pixels(path, shape[1], shape[0])
        return _TiffLayout(1, names if len(names) == 1 else ())
    axis = _plane_axis(path, shape, axes)
    height, width = (n for i, n in enumerate(shape) if i != axis)
    check_pixels(path, width, height)
    rgb = axes[axis] == "S" and shape[axis] == 3
    return _TiffLayout(shape[axis], names if len(names) == shape[axis] else (), rgb, axis=axis)


def _plane_axis(path: Path, shape: tuple[int, ...], axes: str) -> int:
    """Return the axis that counts planes: the one named so, else the only short one at either end."""
    if len(shape) != 3:
        cure = "planes of one image, (C, H, W) or (H, W, C), are read"
        raise UnreadableImage(path, f"shape {shape}, axes {axes}; {cure}")
    axis = next((i for i, letter in enumerate(axes) if letter in "CS"), None)
    if axis is None:
        short = [i for i in (0, 2) if shape[i] <= MAX_PLANES]
        axis = short[0] if len(short) == 1 else None
    if axis is None or shape[axis] > MAX_PLANES:
        raise UnreadableImage(path, f"shape {shape}, axes {axes}: no axis of at most {MAX_PLANES} planes")
    return axis


def _check_data(path: Path, series: tifffile.TiffPageSeries) -> None:
    """Refuse files whose planes lie past their end, or nowhere: the library would read zeros."""
    size = path.stat().st_size
    if series.nbytes > MAX_BYTES:
        raise UnreadableImage(path, f"claims shape {series.shape}; an image holds at most {MAX_BYTES >> 20} MB")
    if len(series.pages) > _MAX_PAGES:
        raise UnreadableImage(path, f"{len(series.pages)} pages; an image has at most {_MAX_PAGES}")
    for page in series.pages:
        frame = None if page is None else page.aspage()
        if frame is None or not frame.databytecounts or min(frame.databytecounts) == 0:
            raise UnreadableImage(path, "damaged: a plane has no data")
        if max(a + b for a, b in zip(frame.dataoffsets, frame.databytecounts, strict=True)) > size:
            raise UnreadableImage(path, f"truncated: its planes reach past its {size:,} bytes")


def _names(tiff: tifffile.TiffFile) -> tuple[str, ...]:
    if tiff.is_ome and tiff.ome_metadata:
        try:
            elements = ET.fromstring(tiff.ome_metadata).iter()  # not tifffile.xml2dict, which makes 488 of "0488"
        except ET.ParseError:  # the planes can be read all the same
            return ()
        return tuple(e.get("Name", "") for e in elements if e.tag.rpartition("}")[2] == "Channel")
    if tiff.is_imagej and tiff.imagej_metadata:
        labels = tiff.imagej_metadata.get("Labels") or ()
        return tuple(str(label) for label in ([labels] if isinstance(labels, str) else labels))
    return ()
