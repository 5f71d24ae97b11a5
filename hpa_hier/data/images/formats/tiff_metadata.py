"""TIFF metadata: what OME, ImageJ and Micro-Manager say of a file's planes; no other file is ever opened."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from math import prod
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING

from hpa_hier.data.images.formats.pixel_size import check_square, to_micrometres

if TYPE_CHECKING:
    import tifffile

_MICRO_MANAGER = 51123  # TIFF tag: JSON of one plane
_DOCUMENT_TYPE = "<!DOCTYPE"
_MOST_PLANES = 1 << 18  # of a set of files
_NUMBERED = re.compile(r"(channel|ch|c|track|wavelength|w)?[\W_]*(\d[\d:]*)?", re.IGNORECASE)  # names that say nothing


@lru_cache(maxsize=4)
def _parse(xml: str) -> ET.Element | None:
    """Parse what a file says, which is asked for several times; None: it is no XML."""
    try:
        return ET.fromstring(xml)
    except ET.ParseError:
        return None


@dataclass(frozen=True)
class OwnPlanes:
    """Which planes of an OME set of files are in one of them."""

    files: int  # that the metadata tells of
    images: int  # that the planes belong to
    places: Mapping[int, tuple[int, int, int]]  # page → channel, section and frame; none where the file is not told of
    names: tuple[str, ...]  # of all channels of the set


def check_claims(xml: str, pages: int) -> None:
    """Refuse OME-XML over which a library would take minutes, or gigabytes, before it finds that nothing is there.

    Args:
        xml: in the file.
        pages: of the file; an element that does not say how many planes it places means so many.

    Raises:
        ValueError: it declares a document type, whose entities grow to any size, or more planes than any set of files.
    """
    if _DOCUMENT_TYPE in xml:
        raise ValueError("its OME metadata declares a document type")
    root = _parse(xml)
    if root is None:  # the library tells
        return
    for pixels in (one for one in root.iter() if _tag(one) == "Pixels"):
        sizes = prod(int(pixels.get(f"Size{axis}", 1)) for axis in "CZT")
        counts = (one.get("PlaneCount") or one.get("NumPlanes") for one in pixels if _tag(one) == "TiffData")
        planes = max(sizes, sum(pages if count is None else int(count) for count in counts))
        if planes > _MOST_PLANES:
            raise ValueError(f"its OME metadata tells of {planes:,} planes; at most {_MOST_PLANES:,} are read")


def find_own_planes(xml: str, file_name: str, pages: int) -> OwnPlanes | None:
    """Find which planes of an OME set are in this file; None where the metadata places no plane.

    Args:
        xml: the OME-XML in the file.
        file_name: its name now; where the metadata has a UUID for the file itself, that one counts and not the name.
        pages: in the file.
    """
    root = _parse(xml)  # not tifffile.xml2dict, which makes 488 of "0488"
    data = [] if root is None else list(_tiff_data(root))
    if root is None or not data:
        return None
    mine = _own_uuid(root, [one for _, _, one in data], file_name)
    own = [(image, pixels, one) for image, pixels, one in data if _uuid(one) == mine]
    told = ((page, place) for _, pixels, one in own for page, place in _places(pixels, one, pages))
    listed = list(islice(told, pages + 1))
    places = dict(listed) if len(listed) <= pages else {}  # a page that is told of twice is nowhere
    names = channel_names(own[0][1]) if own else ()
    return OwnPlanes(len({_uuid(one) for *_, one in data}), len({image for image, *_ in own}), places, names)


def _tiff_data(root: ET.Element) -> Iterator[tuple[int, ET.Element, ET.Element]]:
    """Give each TiffData element of a document with its Pixels and the number of its Image."""
    for number, image in enumerate(one for one in root if _tag(one) == "Image"):
        for pixels in (one for one in image if _tag(one) == "Pixels"):
            yield from ((number, pixels, one) for one in pixels if _tag(one) == "TiffData")


def _own_uuid(root: ET.Element, data: Sequence[ET.Element], file_name: str) -> str | None:
    """Return the UUID that means the file at hand: its own, else the one beside its name; None: it is not told of."""
    known = {_uuid(one) for one in data}
    if root.get("UUID") in known:
        return root.get("UUID")
    for one in data:
        for element in one:
            if PureWindowsPath(element.get("FileName", "")).name.lower() == file_name.lower():
                return _uuid(one)
    return next(iter(known)) if len(known) == 1 else None


def _uuid(data: ET.Element) -> str | None:
    return next(((one.text or "").strip() for one in data if _tag(one) == "UUID"), None)


def _places(pixels: ET.Element, data: ET.Element, pages: int) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """Give (page, (channel, section, frame)) of each plane that a TiffData element places."""
    sizes = {axis: int(pixels.get(f"Size{axis}", 1)) for axis in "CZT"}
    samples = next((int(one.get("SamplesPerPixel", 1)) for one in pixels if _tag(one) == "Channel"), 1)
    sizes["C"] = max(1, sizes["C"] // max(1, samples))
    order = [axis for axis in pixels.get("DimensionOrder", "XYCZT") if axis in sizes]  # fastest first
    at = {axis: int(data.get(f"First{axis}", 0)) for axis in sizes}
    first = int(data.get("IFD", 0))
    rest = pages if data.get("IFD") is None else 1
    count = min(int(data.get("PlaneCount", data.get("NumPlanes", rest))), pages - first, prod(sizes.values()))
    index, stride = 0, 1
    for axis in order:
        index, stride = index + at[axis] * stride, stride * sizes[axis]
    for offset in range(count):
        remaining = index + offset
        place = {}
        for axis in order:
            remaining, place[axis] = divmod(remaining, sizes[axis])
        yield first + offset, (place["C"], place["Z"], place["T"])


def channel_names(parent: ET.Element) -> tuple[str, ...]:
    """Return a name for each OME channel below an element."""
    return tuple(_channel_name(one) for one in parent.iter() if _tag(one) == "Channel")


def _channel_name(channel: ET.Element) -> str:
    """Return a channel's name; with its dye, else its wavelength, where the name is no more than a number."""
    name = channel.get("Name", "").strip()
    if not _NUMBERED.fullmatch(name):
        return name
    excitation, emission = channel.get("ExcitationWavelength"), channel.get("EmissionWavelength")
    wave = f"excitation {excitation} nm" if excitation else f"emission {emission} nm" if emission else ""
    more = channel.get("Fluor", "").strip() or wave
    return f"{name} ({more})" if name and more else name or more


def read_names(tiff: tifffile.TiffFile, channels: int) -> tuple[str, ...]:
    """Return what a file calls its channels: one name each, or none."""
    found = (names(tiff, channels) for names in (_ome_names, _imagej_names, _micro_manager_names))
    return next((names for names in found if len(names) == channels and any(names)), ())


def _ome_names(tiff: tifffile.TiffFile, channels: int) -> tuple[str, ...]:
    if not (tiff.is_ome and tiff.ome_metadata):
        return ()
    root = _parse(tiff.ome_metadata)
    return () if root is None else channel_names(root)  # the planes can be read all the same


def _imagej_names(tiff: tifffile.TiffFile, channels: int) -> tuple[str, ...]:
    """Return the labels of the first section and frame; ImageJ labels every plane, channels first."""
    if not (tiff.is_imagej and tiff.imagej_metadata):
        return ()
    labels = tiff.imagej_metadata.get("Labels") or ()
    listed = tuple(str(label) for label in ([labels] if isinstance(labels, str) else labels))
    return listed[:channels] if len(listed) in (channels, _imagej_planes(tiff)) else ()


def _imagej_planes(tiff: tifffile.TiffFile) -> int:
    metadata = tiff.imagej_metadata or {}
    return prod(int(metadata.get(axis, 1)) for axis in ("channels", "slices", "frames"))


def _micro_manager_names(tiff: tifffile.TiffFile, channels: int) -> tuple[str, ...]:
    """Return the names in Micro-Manager's summary, or in the metadata of a single plane."""
    metadata = tiff.micromanager_metadata if tiff.is_micromanager else None
    names = (metadata or {}).get("Summary", {}).get("ChNames", ())
    if channels != 1 or len(names) == 1:
        return tuple(map(str, names))
    tag = tiff.pages.first.tags.get(_MICRO_MANAGER)
    about = tag.value if tag is not None else {}
    try:
        about = json.loads(about) if isinstance(about, (str, bytes)) else about
    except ValueError:
        return ()
    name = next((about[key] for key in ("Channel", "Channel-Name") if isinstance(about, dict) and about.get(key)), "")
    return (str(name),) if name else ()


def read_micrometres(tiff: tifffile.TiffFile) -> float | None:
    """Return the side of a pixel in micrometres, as OME or ImageJ say it; None where they do not, or it is no square.

    A resolution in dots per inch says how a picture is printed, not how large a cell is.
    """
    for read in (_ome_sides, _imagej_sides):
        sides = read(tiff)
        if sides is not None:
            return check_square(*sides)
    return None


def _ome_sides(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    if not (tiff.is_ome and tiff.ome_metadata):
        return None
    root = _parse(tiff.ome_metadata)
    pixels = None if root is None else next((one for one in root.iter() if _tag(one) == "Pixels"), None)
    if pixels is None:
        return None
    try:
        found = [
            to_micrometres(float(pixels.get(f"PhysicalSize{axis}", "nan")), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
            for axis in "XY"
        ]
    except ValueError:  # the planes can be read all the same
        return None
    return None if found[0] is None or found[1] is None else (found[0], found[1])


def _imagej_sides(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    if not (tiff.is_imagej and tiff.imagej_metadata):
        return None
    factor = to_micrometres(1, str(tiff.imagej_metadata.get("unit", "")).replace("\\u00B5", "µ"))
    tags = [tiff.pages.first.tags.get(f"{axis}Resolution") for axis in "XY"]  # pixels a unit, as fractions
    if factor is None or None in tags:
        return None
    fractions = [(int(tag.value[0]), int(tag.value[1])) for tag in tags if tag is not None]
    if any(pixels < 1 for pixels, _ in fractions):
        return None
    width, height = (factor * units / pixels for pixels, units in fractions)
    return width, height


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
