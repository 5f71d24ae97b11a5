"""TIFF files: their planes, sections and frames by the axes that they name, checked before anything is decoded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from hpa_hier.data.images.formats.tiff_metadata import (
    OwnPlanes,
    check_claims,
    find_own_planes,
    read_micrometres,
    read_names,
)
from hpa_hier.data.images.reader import MAX_BYTES, Layout, UnreadableImage, check_bytes, check_pixels, check_stack
from hpa_hier.data.images.stacks import Stack, StackRules, choose_frame, choose_sections, project

if TYPE_CHECKING:
    import tifffile

MAX_PLANES = 16  # more along the channel axis is a focus stack or a film
_MAX_PAGES = 8192  # some writers give (H, W, C) arrays one page a row of pixels
_MAX_PIECES = 1 << 16  # strips or tiles of a page
_MAX_FILE = 64 << 30  # bytes; stacks are read section by section
_ALPHA = (1, 2)  # values of the tag ExtraSamples
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _PALETTE = 0, 1, 3  # values of the tag PhotometricInterpretation
_PRINTED = {5: "SEPARATED", 8: "CIELAB", 9: "ICCLAB", 10: "ITULAB"}  # further ones
_HYPERSTACK = "say which it is in Fiji (Image > Hyperstacks > Stack to Hyperstack) and save it again"

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # a bad file is listed with its reason once, by us

_AnyPage: TypeAlias = "tifffile.TiffPage | tifffile.TiffFrame"
_Fetch = Callable[[int, int, int], np.ndarray]  # channel, section, frame → an array with the axes of `tail`


@dataclass(frozen=True)
class _Content:
    """What a TIFF holds, not yet decoded."""

    layout: Layout
    fetch: _Fetch
    tail: str  # axes of what is fetched: Y, X and perhaps S
    channels: int  # that are fetched one by one
    convert: Callable[[np.ndarray], np.ndarray]  # (H, W) as stored → (H, W) or (3, H, W) as it is shown
    section_bytes: int
    read_block: Callable[[int, int], np.ndarray] | None = None  # section, frame → (P, H, W), where these are one block

    def section(self, z: int, t: int) -> np.ndarray:
        """Decode one section of one frame to (P, H, W)."""
        if self.read_block is not None:
            return self.read_block(z, t)
        first = self._planes(0, z, t)
        if self.channels == 1:
            return first
        planes = np.empty((self.channels * len(first), *first.shape[1:]), first.dtype)
        for c in range(self.channels):
            planes[c * len(first) : (c + 1) * len(first)] = first if c == 0 else self._planes(c, z, t)
        return planes

    def _planes(self, c: int, z: int, t: int) -> np.ndarray:
        array = self.fetch(c, z, t)
        if "S" in self.tail:
            return np.moveaxis(array, self.tail.index("S"), 0)[: self.layout.planes]
        shown = self.convert(array)
        return shown if shown.ndim == 3 else shown[None]


class TiffReader:
    """TIFFs of 8 or 16 bits; OME, ImageJ and Micro-Manager name their planes and axes. Only the file itself is read."""

    def layout(self, path: Path) -> Layout:
        """Return how a file's planes lie, without decoding them."""
        with _open(path) as tiff:
            return _describe(path, tiff).layout

    def read(self, path: Path) -> np.ndarray:
        """Decode a file to (P, H, W)."""
        return self.read_stack(path, StackRules()).planes

    def read_stack(self, path: Path, rules: StackRules) -> Stack:
        """Decode a file to (P, H, W), a z stack and a time series by the rules."""
        with _open(path) as tiff:
            content = _describe(path, tiff)
            layout = content.layout
            frame = choose_frame(path, layout.frames, rules)
            wanted = choose_sections(layout.sections, rules.projection)
            check_stack(path, len(wanted) * content.section_bytes, path.stat().st_size)
            try:
                sections = (content.section(z, frame) for z in wanted)
                planes = next(sections) if len(wanted) == 1 else project(sections, rules.projection)
            except Exception as error:  # the decoders raise whatever their libraries do
                if "imagecodecs" in str(error) or isinstance(error, ImportError):  # of a compression's library
                    raise UnreadableImage(path, f"{error}: `pip install 'hpa-hier[tiff]'` reads it") from None
                raise UnreadableImage(path, f"damaged: {type(error).__name__}: {error}") from None
            return Stack(planes, layout.sections, layout.frames, read_micrometres(tiff))


def _open(path: Path) -> tifffile.TiffFile:
    """Open a file so that no metadata in it leads to another one."""
    import tifffile

    check_bytes(path, _MAX_FILE)
    try:
        return tifffile.TiffFile(path, _multifile=False, is_mmstack=False, is_ndtiff=False)
    except Exception as error:  # a damaged header raises whatever its bytes happen to mean
        raise UnreadableImage(path, f"no readable TIFF: {type(error).__name__}: {error}") from None


def _describe(path: Path, tiff: tifffile.TiffFile) -> _Content:
    try:
        _refuse_pages(path, tiff)
        if tiff.is_ome:
            check_claims(tiff.ome_metadata or "", len(tiff.pages))
        series = tiff.series
        own = find_own_planes(tiff.ome_metadata or "", path.name, len(tiff.pages)) if tiff.is_ome else None
        if own is not None and (own.files > 1 or not series or series[0].kind != "ome" or None in series[0].pages):
            return _describe_own(path, tiff, own)
        if len(series) != 1:
            raise UnreadableImage(path, f"holds {len(series)} images; save one image a file")
        return _describe_series(path, tiff, series[0])
    except UnreadableImage:
        raise
    except Exception as error:
        raise UnreadableImage(path, f"no readable TIFF: {type(error).__name__}: {error}") from None


def _refuse_pages(path: Path, tiff: tifffile.TiffFile) -> None:
    """Raise the UnreadableImage of too many pages, before the library goes to each of them."""
    try:
        tiff.pages[_MAX_PAGES]
    except IndexError:
        return
    raise UnreadableImage(path, f"more than {_MAX_PAGES:,} pages; an image has fewer")


def _describe_own(path: Path, tiff: tifffile.TiffFile, own: OwnPlanes) -> _Content:
    """Describe a file of an OME set by the planes that are in the file itself."""
    pages = _check_pages(path, [page.aspage() for page in tiff.pages])
    if own.images > 1 or len({(page.shape, page.dtype) for page in pages}) > 1:
        raise UnreadableImage(path, "holds several images; save one image a file")
    places, names = own.places, own.names
    if not places and len(pages) > 1:
        raise UnreadableImage(path, f"{len(pages)} planes, of a set of files in which its metadata does not name it")
    if not places:
        places, names = {0: (0, 0, 0)}, ()
    channels, sections, frames = (sorted({place[axis] for place in places.values()}) for axis in range(3))
    shape = len(channels), len(sections), len(frames)
    page_at = {place: page for page, place in places.items()}
    if prod(shape) != len(page_at) or len(page_at) != len(pages):
        raise UnreadableImage(path, f"{len(pages)} planes where its metadata tells of {max(prod(shape), len(page_at))}")

    def fetch(c: int, z: int, t: int) -> np.ndarray:
        return np.asarray(pages[page_at[channels[c], sections[z], frames[t]]].asarray(maxworkers=1))

    sizes = dict(zip("CZT", shape, strict=True)) | dict(zip(pages[0].axes, pages[0].shape, strict=True))
    return _content(
        path, pages[0].aspage(), sizes, fetch, pages[0].axes, tuple(names[c] for c in channels if c < len(names))
    )


def _describe_series(path: Path, tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> _Content:
    """Describe a file of one image by the axes that it names."""
    block = series.dataoffset  # where the planes are one block of the file, whose other pages need not be read
    pages = _check_pages(path, list(series) if block is None else [series.keyframe], series)
    shape, axes = tuple(series.shape), str(series.axes)
    if len(shape) > 2:  # axes of length 1 say nothing
        kept = [(n, axis) for n, axis in zip(shape, axes, strict=True) if n > 1 or axis in "YX"]
        shape, axes = tuple(n for n, _ in kept), "".join(axis for _, axis in kept)
    axes = _name_axes(path, shape, axes)
    sizes = dict(zip(axes, shape, strict=True))
    page = series.keyframe
    lead = axes[: len(axes) - sum(n > 1 or axis in "YX" for n, axis in zip(page.shape, page.axes, strict=True))]
    apart = block is not None or len(pages) == prod(shape[: len(lead)])
    paged = apart and set(lead) <= set("TZC") and "C" not in axes[len(lead) :]
    whole: list[np.ndarray] = []  # decoded once, when the first plane is fetched

    def read(c: int, z: int, t: int, planes: int = 1) -> np.ndarray:
        at = {"C": c, "Z": z, "T": t}
        number = int(np.ravel_multi_index([at[axis] for axis in lead], shape[: len(lead)])) if lead else 0
        if block is None:
            return np.asarray(pages[number].asarray(maxworkers=1))
        start, count = block + number * page.nbytes, planes * page.nbytes // series.dtype.itemsize
        return np.asarray(tiff.filehandle.read_array(tiff.byteorder + series.dtype.char, count, start))

    def fetch(c: int, z: int, t: int) -> np.ndarray:
        if paged:
            return read(c, z, t).reshape(shape[len(lead) :])
        if not whole:
            whole.append(_open_array(path, series).reshape(shape))
        at = {"C": c, "Z": z, "T": t}
        return np.asarray(whole[0][tuple(at.get(axis, slice(None)) for axis in axes)])

    def read_block(z: int, t: int) -> np.ndarray:
        return read(0, z, t, sizes["C"]).reshape(sizes["C"], *shape[len(lead) :])

    tail = "".join(axis for axis in axes if axis in "YXS")
    content = _content(path, page, sizes, fetch, tail, read_names(tiff, sizes.get("C", sizes.get("S", 1))))
    plain = page.photometric == _BLACK_IS_ZERO and tail == "YX" and lead.endswith("C")
    return replace(content, read_block=read_block) if plain and paged and block is not None else content


def _open_array(path: Path, series: tifffile.TiffPageSeries) -> np.ndarray:
    """Return all of a series: mapped into memory where it is one block of the file, else decoded."""
    if series.dataoffset is not None:
        dtype = np.dtype(series.keyframe.parent.byteorder + series.dtype.char)
        return np.memmap(path, dtype, "r", series.dataoffset, tuple(series.shape))
    if series.nbytes > MAX_BYTES:
        limit = f"at most {MAX_BYTES >> 20} MB are read"
        raise UnreadableImage(path, f"claims shape {series.shape}, not stored plane by plane; {limit}")
    return np.asarray(series.asarray(maxworkers=1))


def _content(
    path: Path, page: tifffile.TiffPage, sizes: Mapping[str, int], fetch: _Fetch, tail: str, names: Sequence[str]
) -> _Content:
    """Check what a file claims, and say what its planes are.

    Args:
        path: of the file.
        page: one of its pages, which stands for all.
        sizes: of the axes, by letter.
        fetch: decodes the axes `tail` of one channel, section and frame.
        tail: Y, X and perhaps S.
        names: of the channels, where the file has them.
    """
    depth = _check_depth(path, page)
    check_pixels(path, sizes["X"], sizes["Y"])
    channels, samples = sizes.get("C", 1), sizes.get("S", 1)
    if channels > 1 and samples > 1:
        raise UnreadableImage(path, f"{channels} channels that are coloured each; save one plane a channel")
    convert, planes = _shown(path, page, channels)
    rgb = planes == 3
    if samples > 1:
        alpha = len(page.extrasamples) == 1 and int(page.extrasamples[0]) in _ALPHA
        planes, rgb = (1 if samples == 2 and alpha else samples), samples - alpha == 3
    planes = planes if channels == 1 else channels
    if planes > MAX_PLANES:
        raise UnreadableImage(path, f"{planes:,} planes; at most {MAX_PLANES} are read")
    kept = tuple(names) if len(names) == planes and any(names) else ()
    layout = Layout(planes, kept, rgb, sizes.get("Z", 1), sizes.get("T", 1))
    check_pixels(path, sizes["X"], sizes["Y"], planes * depth)
    return _Content(layout, fetch, tail, channels, convert, sizes["X"] * sizes["Y"] * planes * depth)


def _shown(path: Path, page: tifffile.TiffPage, channels: int) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
    """Return how stored values become those that a viewer shows, and how many planes of colour these are.

    The colour map of a file of several channels is only what one of them was last looked at in.
    """
    if page.photometric in _PRINTED:
        raise UnreadableImage(path, f"{_PRINTED[page.photometric]} colours; save it as grey or RGB")
    if page.photometric == _WHITE_IS_ZERO:
        if page.dtype != np.uint8:  # viewers disagree
            cure = "save it with black as zero, as in Fiji: Edit > Invert, then Image > Lookup Tables > Invert LUT"
            raise UnreadableImage(path, f"16 bits in which white is zero; {cure}")
        return np.invert, 1
    if page.photometric == _PALETTE and channels == 1:
        if page.colormap is None or page.dtype != np.uint8:
            raise UnreadableImage(path, "colours without a map of 256; save it as grey or RGB")
        colours = (np.asarray(page.colormap) >> 8).astype(np.uint8)  # (3, 256), as Pillow makes 8 bits of 16
        if (colours == colours[0]).all():
            return lambda plane: colours[0][plane], 1
        return lambda plane: colours[:, plane], 3
    return lambda plane: plane, 1


def _name_axes(path: Path, shape: tuple[int, ...], axes: str) -> str:
    """Return the axes by letters T, Z, C, S, Y and X; of an unnamed one, where it can only be planes, C."""
    told = f"shape {shape}, axes {axes}"
    if len(shape) == 2:
        return "YX"
    if set(axes) <= set("TZCSYX") and {"Y", "X"} <= set(axes) and len(set(axes)) == len(axes):
        channels = shape[axes.index("C")] if "C" in axes else 1
        if channels > MAX_PLANES:
            raise UnreadableImage(path, f"{told}: {channels} channels; at most {MAX_PLANES} are read")
        return axes
    if len(shape) != 3:
        raise UnreadableImage(path, f"{told}: an axis without a meaning; {_HYPERSTACK}")
    short = [i for i in (0, 2) if shape[i] <= MAX_PLANES]
    if len(short) != 1:
        unknown = "nothing says whether these are sections, frames or channels"
        raise UnreadableImage(path, f"{told}: {unknown}; {_HYPERSTACK}")
    return "CYX" if short == [0] else "YXC"


def _check_depth(path: Path, page: tifffile.TiffPage) -> int:
    """Return the bytes of a value, where it is one that is read."""
    dtype = np.dtype(page.dtype) if page.dtype is not None else None
    if dtype is not None and dtype in (np.dtype(np.uint8), np.dtype(np.uint16)):
        return dtype.itemsize
    if dtype is None or dtype == np.dtype(bool):
        raise UnreadableImage(path, f"{page.bitspersample} bits a pixel; save it with 8 or 16")
    cure = "save it with 8 or 16 bits, unsigned, as in Fiji: Image > Type > 16-bit"
    raise UnreadableImage(path, f"{dtype} pixels; {cure}")


def _check_pages(
    path: Path, pages: Sequence[_AnyPage | None], series: tifffile.TiffPageSeries | None = None
) -> list[_AnyPage]:
    """Return pages, and refuse files whose planes lie past their end, or nowhere: the library would read zeros."""
    size = path.stat().st_size
    kept = []
    for page in pages:
        if page is None or not page.databytecounts or min(page.databytecounts) == 0:
            raise UnreadableImage(path, "damaged: a plane has no data")
        if len(page.databytecounts) > _MAX_PIECES:
            raise UnreadableImage(path, f"a plane in {len(page.databytecounts):,} pieces; at most {_MAX_PIECES:,}")
        if max(a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=True)) > size:
            raise UnreadableImage(path, f"truncated: its planes reach past its {size:,} bytes")
        kept.append(page)
    if sum(sum(page.databytecounts) for page in kept) > size:
        raise UnreadableImage(path, f"damaged: its planes share parts of its {size:,} bytes")
    if series is not None and series.dataoffset is not None and series.dataoffset + series.nbytes > size:
        raise UnreadableImage(path, f"truncated: its planes reach past its {size:,} bytes")
    return kept
