"""OME-Zarr: images, plates and series, of which only the resolution, planes and chunks that are needed are read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from hpa_hier.data.images.formats.pixel_size import check_square, to_micrometres
from hpa_hier.data.images.formats.zarr_store import LARGEST_METADATA, check_file, check_inside, count_bytes, open_store
from hpa_hier.data.images.reader import (
    MAX_BYTES,
    MAX_DECODED,
    Layout,
    Part,
    UnreadableImage,
    check_pixels,
    check_stack,
    needs_stored,
)
from hpa_hier.data.images.stacks import Stack, StackRules, choose_frame, choose_sections, project

if TYPE_CHECKING:
    import zarr

METADATA = (".zattrs", "zarr.json")  # of format 2 (OME-Zarr 0.4 and below) and 3 (0.5)
_MOST_CHANNELS = 64
_MOST_LEVELS = 64  # resolutions, each half as large as the one before
_OVERHEAD = 1 << 20  # bytes that packing may add to a chunk
_OLD_AXES = ("t", "c", "z", "y", "x")  # before 0.3 they were always these


@dataclass(frozen=True)
class _Pyramid:
    """One image: its resolutions, largest first, and what it says of itself."""

    levels: tuple[zarr.Array[Any], ...]
    axes: tuple[str, ...]
    layout: Layout
    micrometres: float | None = None  # side of a pixel of the largest; None: it does not say


class OmeZarrReader:
    """OME-Zarr up to 0.5, of 8 or 16 bits; the metadata's channel labels name the planes."""

    def parts(self, path: Path) -> tuple[Part, ...]:
        """Return the images of a store: itself, the fields of its wells, or its series."""
        with _reasons(path):
            found = tuple(_find_images(path, _read_metadata(path)))
        if not found:
            raise UnreadableImage(path, "a plate without images: its metadata tell of no well or field")
        return found

    def layout(self, path: Path) -> Layout:
        """Return how an image's planes lie, without reading them."""
        return _open(path).layout

    def read(self, path: Path) -> np.ndarray:
        """Read an image to (P, H, W), at its full resolution."""
        return self.read_stack(path, StackRules()).planes

    def read_stack(self, path: Path, rules: StackRules) -> Stack:
        """Read an image to (P, H, W) by the rules, a few sections at a time."""
        image = _open(path)
        layout = image.layout
        frame = choose_frame(path, layout.frames, rules)
        wanted = choose_sections(layout.sections, rules.projection)
        level = _choose_level(image, rules.least_side)
        _check_work(path, level, image.axes, len(wanted), rules.wanted)
        try:
            sections = _read_sections(level, image.axes, frame, wanted, rules.wanted)
            planes = next(sections) if len(wanted) == 1 else project(sections, rules.projection)
        except UnreadableImage:
            raise
        except Exception as error:  # codecs and stores raise whatever their libraries do
            raise UnreadableImage(path, f"damaged: {type(error).__name__}: {error}") from None
        finest, chosen = (max(one.shape[image.axes.index(axis)] for axis in "yx") for one in (image.levels[0], level))
        pixel = None if image.micrometres is None else image.micrometres * finest / chosen
        return Stack(planes, layout.sections, layout.frames, pixel)


def _find_images(path: Path, about: dict[str, Any]) -> Iterator[Part]:
    """Find the images that a group's metadata tells of."""
    if "multiscales" in about:
        yield Part("", path)
    elif "plate" in about:
        for well in _list_places(path, about["plate"].get("wells", ())):
            name = "".join(well.relative_to(path).parts)
            for field in _find_fields(well, _read_metadata(well)):
                yield Part(f"{name}_{field.name}", field.path)
    elif "well" in about:
        yield from _find_fields(path, about)
    else:
        named = _read_metadata(path / "OME").get("series") if (path / "OME").is_dir() else None
        numbered = sorted((one.name for one in path.iterdir() if one.name.isdecimal()), key=int)
        series = [_inside(path, str(one)) for one in named or numbered]
        if not series or not all("multiscales" in _read_metadata(one) for one in series):
            raise UnreadableImage(path, "no OME-Zarr image: its metadata tell of no multiscales, plate, well or series")
        for one in series:
            yield Part("" if len(series) == 1 else one.name, one)


def _find_fields(well: Path, about: dict[str, Any]) -> Iterator[Part]:
    for place in _list_places(well, about["well"].get("images", ())):
        yield Part("_".join(place.relative_to(well).parts), place)


def _list_places(path: Path, told: Sequence[Any]) -> list[Path]:
    """Return the places that metadata name, each once."""
    return [_inside(path, name) for name in dict.fromkeys(str(one.get("path", "")) for one in told)]


def _inside(path: Path, name: str) -> Path:
    """Return a place in a store; metadata never lead out of it."""
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/") or "\\" in name:
        raise UnreadableImage(path, f"its metadata name the place {name!r}, which is not inside of it")
    check_inside(path, name)
    return path.joinpath(*parts)


def _read_metadata(path: Path) -> dict[str, Any]:
    """Return what a group's metadata say of images, by whatever version."""
    file = next((path / name for name in reversed(METADATA) if (path / name).is_file()), None)
    if file is None:
        raise UnreadableImage(path, f"no OME-Zarr: there is neither {' nor '.join(METADATA)} in it")
    try:
        check_file(path, file.name)
        told = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableImage(path, f"{file.name} cannot be read: {error}") from None
    about = told.get("attributes", {}) if file.name == "zarr.json" and isinstance(told, dict) else told
    about = about.get("ome", about) if isinstance(about, dict) else about
    if not isinstance(about, dict):
        raise UnreadableImage(path, f"{file.name} holds no metadata of images")
    return about


@contextmanager
def _reasons(path: Path) -> Iterator[None]:
    """Turn what metadata in another form raise into the store's reason."""
    try:
        yield
    except UnreadableImage:
        raise
    except Exception as error:  # they raise whatever they happen to mean
        raise UnreadableImage(path, f"no readable OME-Zarr: {type(error).__name__}: {error}") from None


def _open(path: Path) -> _Pyramid:
    """Open an image, and check what it claims."""
    with _reasons(path):
        return _describe(path, _read_metadata(path))


def _describe(path: Path, about: dict[str, Any]) -> _Pyramid:
    try:
        import zarr
    except ImportError:
        raise UnreadableImage(path, "an OME-Zarr: `pip install 'hpa-hier[zarr]'` reads it") from None
    told = about["multiscales"][0]
    axes = tuple(str(one["name"] if isinstance(one, dict) else one) for one in told.get("axes", _OLD_AXES))
    names = _list_places(path, told["datasets"])
    if len(names) > _MOST_LEVELS:
        raise UnreadableImage(path, f"{len(names):,} resolutions; at most {_MOST_LEVELS} are read")
    store = open_store(path)
    group = zarr.open_group(store, mode="r")
    levels = [group[name.relative_to(path).as_posix()] for name in names]
    arrays = tuple(level for level in levels if isinstance(level, zarr.Array))
    if not arrays:
        raise UnreadableImage(path, "no OME-Zarr image: it has no resolution level")
    axes = axes[-arrays[0].ndim :] if "axes" not in told else axes
    _check(path, arrays, axes)
    sharded = any(array.shards for array in arrays)
    largest = max(prod(array.chunks) * array.dtype.itemsize for array in arrays)
    store.most = None if sharded else max(LARGEST_METADATA, 2 * largest + _OVERHEAD)
    sizes = dict(zip(axes, arrays[0].shape, strict=True))
    labels = [str(one.get("label", "")) for one in about.get("omero", {}).get("channels", ()) if isinstance(one, dict)]
    planes = sizes.get("c", 1)
    kept = tuple(labels) if len(labels) == planes and any(labels) else ()
    layout = Layout(planes, kept, False, sizes.get("z", 1), sizes.get("t", 1))
    return _Pyramid(arrays, axes, layout, _read_micrometres(told, axes))


def _read_micrometres(told: dict[str, Any], axes: tuple[str, ...]) -> float | None:
    """Return the side of a pixel of the largest resolution; None where the metadata do not say it in a unit."""
    try:
        units = [to_micrometres(1, str(told["axes"][axes.index(axis)].get("unit", ""))) for axis in "xy"]
        scales = [told["datasets"][0]["coordinateTransformations"], told.get("coordinateTransformations", ())]
        sides = [1.0, 1.0]
        for one in (step for steps in scales for step in steps if step["type"] == "scale"):
            sides = [side * float(one["scale"][axes.index(axis)]) for side, axis in zip(sides, "xy", strict=True)]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):  # the planes can be read all the same
        return None
    return None if units[0] is None or units[1] is None else check_square(sides[0] * units[0], sides[1] * units[1])


def _check(path: Path, arrays: Sequence[zarr.Array[Any]], axes: tuple[str, ...]) -> None:
    shape = arrays[0].shape
    told = f"shape {shape}, axes {','.join(axes)}"
    if len(axes) != len(shape) or not {"y", "x"} <= {*axes} <= {*_OLD_AXES} or len({*axes}) < len(axes):
        raise UnreadableImage(path, f"{told}: the axes t, c, z, y and x are read")
    sizes = dict(zip(axes, shape, strict=True))
    if sizes.get("c", 1) > _MOST_CHANNELS:
        raise UnreadableImage(path, f"{told}: {sizes['c']} channels; at most {_MOST_CHANNELS} are read")
    for array in arrays:
        if array.dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
            raise UnreadableImage(path, f"{array.dtype} pixels; save it with 8 or 16 bits, unsigned")
        if array.ndim != len(axes):
            raise UnreadableImage(path, f"{told}: another resolution has {array.ndim} axes")
        if prod(array.chunks) * array.dtype.itemsize > MAX_BYTES:
            raise UnreadableImage(path, f"claims chunks of {array.chunks}; at most {MAX_BYTES >> 20} MB are read")
    check_pixels(path, *(sizes[axis] for axis in "xy"))


def _check_work(
    path: Path, array: zarr.Array[Any], axes: tuple[str, ...], sections: int, wanted: frozenset[int] | None
) -> None:
    """Refuse what is more than memory should hold, or out of all proportion to what is stored."""
    sizes = dict(zip(axes, array.shape, strict=True))
    planes = sizes.get("c", 1) if wanted is None else len(wanted)
    check_pixels(path, sizes["x"], sizes["y"], planes * array.dtype.itemsize)
    decoded = sections * planes * sizes["x"] * sizes["y"] * array.dtype.itemsize
    if enough := needs_stored(decoded):
        check_stack(path, decoded, count_bytes(path, enough))


def _choose_level(image: _Pyramid, least_side: int) -> zarr.Array[Any]:
    """Return the smallest resolution whose longer side has as many pixels as are asked for, else the largest."""
    sides = [max(n for n, axis in zip(one.shape, image.axes, strict=True) if axis in "yx") for one in image.levels]
    fitting = [i for i, side in enumerate(sides) if least_side and side >= least_side]
    return image.levels[min(fitting, key=sides.__getitem__, default=0)]


def _read_sections(
    array: zarr.Array[Any], axes: tuple[str, ...], frame: int, wanted: range, planes: frozenset[int] | None
) -> Iterator[np.ndarray]:
    """Read the wanted sections of one frame, as many at a time as share chunks: (P, H, W) each.

    Planes that are not wanted are zeros.
    """
    sizes, chunks = (dict(zip(axes, numbers, strict=True)) for numbers in (array.shape, array.chunks))
    count, height, width = sizes.get("c", 1), sizes["y"], sizes["x"]
    chosen = range(count) if planes is None else [plane for plane in range(count) if plane in planes]
    room = MAX_DECODED // (max(len(chosen), 1) * height * width * array.dtype.itemsize)
    step = max(1, min(chunks.get("z", 1), room))
    for first in range(wanted.start, wanted.stop, step):
        sections = range(first, min(first + step, wanted.stop))
        block = np.zeros((count, len(sections), height, width), array.dtype)
        for plane in chosen:
            at: dict[str, int | slice] = {"t": frame, "c": plane, "z": slice(sections.start, sections.stop)}
            read = np.asarray(array[tuple(at.get(axis, slice(None)) for axis in axes)])
            left = "".join(axis for axis in axes if axis in "zyx")
            read = read.transpose([left.index(axis) for axis in "zyx" if axis in left])
            block[plane] = read if "z" in left else read[None]
        yield from block.swapaxes(0, 1)
