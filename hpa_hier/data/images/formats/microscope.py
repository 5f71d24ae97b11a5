"""Microscope makers' formats: read by bioio where it is installed, else with the export to make instead."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hpa_hier.data.images.reader import Layout, Part, UnreadableImage, check_pixels
from hpa_hier.data.images.stacks import Stack, StackRules, choose_frame, choose_sections, project

FORMATS = {  # by suffix: the format's name, and the reader of it for bioio
    ".czi": ("Zeiss CZI", "bioio-czi"),
    ".lif": ("Leica LIF", "bioio-lif"),
    ".nd2": ("Nikon ND2", "bioio-nd2"),
    ".dv": ("DeltaVision", "bioio-dv"),
    ".r3d": ("DeltaVision", "bioio-dv"),
    ".lsm": ("Zeiss LSM", "bioio-bioformats"),
    ".zvi": ("Zeiss ZVI", "bioio-bioformats"),
    ".oib": ("Olympus OIB", "bioio-bioformats"),
    ".oif": ("Olympus OIF", "bioio-bioformats"),
    ".oir": ("Olympus OIR", "bioio-bioformats"),
    ".vsi": ("Olympus VSI", "bioio-bioformats"),
    ".ims": ("Imaris IMS", "bioio-bioformats"),
    ".sld": ("SlideBook", "bioio-sldy"),
    ".sldy": ("SlideBook", "bioio-sldy"),
    ".stk": ("MetaMorph STK", "bioio-bioformats"),
    ".ics": ("ICS", "bioio-bioformats"),
    ".c01": ("Cellomics", "bioio-bioformats"),
    ".lof": ("Leica LOF", "bioio-bioformats"),
    ".xlef": ("Leica XLEF", "bioio-bioformats"),
    ".scn": ("Leica SCN", "bioio-bioformats"),
    ".mrc": ("MRC", "bioio-bioformats"),
}
INSTALLED = ("bioio-lif", "bioio-nd2")  # by the extra; those of other licences are the user's to choose
_EXPORT = "export it as OME-TIFF, as in Fiji: File > Import > Bio-Formats, then File > Save As > Tiff"
logging.getLogger("bioio").setLevel(logging.CRITICAL)  # a bad file is listed with its reason once, by us
_FREE = "TCZYXS"  # axes that are read; others have one element


class MicroscopeReader:
    """Files of 8 or 16 bits that bioio reads; an image of several is a scene, by its number behind the file's path."""

    def parts(self, path: Path) -> tuple[Part, ...]:
        """Return the scenes of a file."""
        with _reasons(path):
            scenes = tuple(map(str, _open(path).scenes))
        if len(scenes) == 1:
            return (Part("", path),)
        names = [f"{i + 1}" if scenes.count(name) > 1 else _clean(name) for i, name in enumerate(scenes)]
        return tuple(Part(name, path / str(i)) for i, name in enumerate(names))

    def layout(self, path: Path) -> Layout:
        """Return how a scene's planes lie, without reading them."""
        with _reasons(path):
            return _describe(path, _open_scene(path))

    def read(self, path: Path) -> np.ndarray:
        """Read a scene to (P, H, W)."""
        return self.read_stack(path, StackRules()).planes

    def read_stack(self, path: Path, rules: StackRules) -> Stack:
        """Read a scene to (P, H, W) by the rules, section by section."""
        with _reasons(path):
            image = _open_scene(path)
            layout = _describe(path, image)
            frame = choose_frame(path, layout.frames, rules)
            wanted = choose_sections(layout.sections, rules.projection)
            order = "SYX" if layout.rgb else "CYX"
            sections = (np.asarray(image.get_image_dask_data(order, T=frame, Z=z).compute()) for z in wanted)
            planes = next(sections) if len(wanted) == 1 else project(sections, rules.projection)
        return Stack(planes, layout.sections, layout.frames)


def find_file(path: Path) -> Path:
    """Return the file that holds a scene, or the file itself."""
    return path.parent if path.parent.suffix.lower() in FORMATS and not path.exists() else path


def _open(path: Path) -> Any:  # noqa: ANN401  (a BioImage, of an optional package)
    name, reader = FORMATS[path.suffix.lower()]
    try:
        from bioio import BioImage
    except ImportError:
        install = "'hpa-hier[bioio]'" if reader in INSTALLED else f"bioio {reader}"
        raise UnreadableImage(path, f"{name} is not read: {_EXPORT}; or `pip install {install}`") from None
    try:
        return BioImage(path)
    except Exception as error:
        if type(error).__name__ != "UnsupportedFileFormatError":
            raise
        if importlib.util.find_spec(reader.replace("-", "_")) is not None:
            raise UnreadableImage(path, f"damaged, or no {name}: {reader} cannot read it; {_EXPORT}") from None
        raise UnreadableImage(path, f"{name} is not read: `pip install {reader}`; or {_EXPORT}") from None


def _open_scene(path: Path) -> Any:  # noqa: ANN401
    file = find_file(path)
    image = _open(file)
    if file != path:
        image.set_scene(int(path.name))
    return image


def _describe(path: Path, image: Any) -> Layout:  # noqa: ANN401
    sizes = dict(zip(image.dims.order, image.dims.shape, strict=True))
    more = [axis for axis, n in sizes.items() if n > 1 and axis not in _FREE]
    if more:
        raise UnreadableImage(path, f"axes {image.dims.order} of {image.dims.shape}: {', '.join(more)} is not read")
    if np.dtype(image.dtype) not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        raise UnreadableImage(path, f"{image.dtype} pixels; save it with 8 or 16 bits, unsigned")
    check_pixels(path, sizes["X"], sizes["Y"])
    channels, samples = sizes.get("C", 1), sizes.get("S", 1)
    if samples > 1 and (channels > 1 or samples < 3):
        raise UnreadableImage(path, f"{channels} channels of {samples} colours each; save one plane a channel")
    names = tuple(str(name) for name in image.channel_names or ()) if samples == 1 else ()
    kept = names if len(names) == channels else ()
    return Layout(max(channels, samples), kept, samples > 1, sizes.get("Z", 1), sizes.get("T", 1))


def _clean(name: str) -> str:
    """Return a scene's name without what an id cannot have.

    >>> _clean("Project/Series: 1 ")
    'Project-Series- 1'
    """
    return "".join("-" if sign in '/\\:*?"<>|' or not sign.isprintable() else sign for sign in name).strip(" .")


@contextlib.contextmanager
def _reasons(path: Path) -> Iterator[None]:
    """Turn what readers raise into the file's reason, and keep their warnings quiet."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UnreadableImage:
        raise
    except Exception as error:  # readers raise whatever the bytes happen to mean
        raise UnreadableImage(path, f"damaged: {type(error).__name__}: {error}; or {_EXPORT}") from None
