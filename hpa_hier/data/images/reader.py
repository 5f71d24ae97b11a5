"""Reader: what a file format must offer to be read as images, and the limits that every format keeps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeGuard

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.files.remote.path import is_remote

MAX_PIXELS = 64 << 20  # pixels of one plane; a small file can claim far more than memory holds
MAX_DECODED = 3 * MAX_PIXELS  # bytes of all planes of an image
MAX_BYTES = 1 << 30  # bytes of one file
_LONGEST_SIDE = 1_000_000  # pixels, as libpng has it
_MOST_PACKED = 200  # bytes of pixels that a byte of a large file holds; a picture gives some ten
_EMPTY = 32 << 20  # bytes of pixels that may all be empty
_MOST_PIXELS_A_BYTE = 2000  # deflate packs at most 1,032 to one, and an empty JPEG takes two bits a block
_LONGEST_NAME = 100  # characters of a plane's; a file can hold one of megabytes
_DEEPEST = 4  # names in the way to an image inside of a store: store, row, column, field


class UnreadableImage(UserError):  # noqa: N818  (a state of an image, which is listed and passed over)
    """An image that cannot be used; the rest of a folder can."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason

    @property
    def shown(self) -> str:
        """The file's name; of an image inside of a file or store, with the way to it from there.

        >>> UnreadableImage(Path("lab/a.tif"), "0 bytes").shown, UnreadableImage(Path("lab/p.zarr/B/12/0"), "").shown
        ('a.tif', 'p.zarr/B/12/0')
        """
        if is_remote(self.file):
            return str(self.file)
        parts = self.file.parts[-_DEEPEST:]
        start = next((i for i in reversed(range(len(parts))) if "." in parts[i]), len(parts) - 1)
        return "/".join(parts[start:])


@dataclass(frozen=True)
class Layout:
    """What is known of a file's planes before they are decoded."""

    planes: int | None  # how many; None: only decoding shows it
    names: tuple[str, ...] = ()  # of the planes, where the file has a name for each; the beginnings of long ones
    rgb: bool = False  # the first three planes are red, green and blue
    sections: int = 1  # along z, of each plane
    frames: int = 1  # along t

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(name[:_LONGEST_NAME] for name in self.names))


class Reader(Protocol):
    """One file format; `READERS` has a row for each of its suffixes."""

    def layout(self, path: Path) -> Layout:
        """Return how a file's planes lie, without decoding them.

        Raises:
            UnreadableImage: the file cannot be used.
        """
        ...

    def read(self, path: Path) -> np.ndarray:
        """Decode a file to (P, H, W) uint8 or uint16.

        Raises:
            UnreadableImage: the file is empty, truncated, damaged, too large or of another depth.
        """
        ...


class Part(NamedTuple):
    """One image of a file, or folder, that may hold several."""

    name: str  # comes behind the file's name; "" where it holds one image only
    path: Path  # what its reader takes: a folder inside, or the file's path with the number of the image behind it


class PartsReader(Reader, Protocol):
    """A format whose files may hold several images."""

    def parts(self, path: Path) -> tuple[Part, ...]:
        """Return the images that a file holds.

        Raises:
            UnreadableImage: the file cannot be used.
        """
        ...


def holds_parts(reader: Reader) -> TypeGuard[PartsReader]:
    """Tell whether a format's files may hold several images, without what isinstance costs for each file."""
    return hasattr(reader, "parts")


def check_bytes(path: Path, limit: int = MAX_BYTES) -> None:
    """Raise the UnreadableImage of files that are empty, larger than `limit` bytes, or cannot be read at all."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UnreadableImage(path, f"cannot be read ({error.strerror})") from None
    if size == 0:
        raise UnreadableImage(path, "0 bytes")
    if size > limit:
        raise UnreadableImage(path, f"{size >> 20} MB; an image file holds at most {limit >> 20} MB")


def check_pixels(path: Path, width: int, height: int, depth: int = 1) -> None:
    """Raise the UnreadableImage of sizes that no field of view has; arguments as `find_excess`."""
    if excess := find_excess(width, height, depth):
        raise UnreadableImage(path, excess)


def find_excess(width: int, height: int, depth: int = 1, packed: int | None = None) -> str:
    """Return why no field of view has such a size: no side at all, or more than memory should hold; "": one may.

    Args:
        width: pixels.
        height: pixels.
        depth: bytes of a pixel, of all its planes.
        packed: bytes of the file, where pixels are packed as PNGs and JPEGs have them.
    """
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        return f"claims {width} × {height} pixels; at most {MAX_PIXELS:,} are read"
    if max(width, height) > _LONGEST_SIDE:
        return f"a side of {max(width, height):,} pixels; at most {_LONGEST_SIDE:,} are read"
    if width * height * depth > MAX_DECODED:
        claim = f"claims {width} × {height} pixels of {depth} bytes, {width * height * depth >> 20} MB"
        cure = "save each channel as a file of its own, or cut it into fields"
        return f"{claim}; at most {MAX_DECODED >> 20} MB are read: {cure}"
    if packed is not None and width * height > _MOST_PIXELS_A_BYTE * packed:
        return f"damaged: claims {width} × {height} pixels in {packed:,} bytes, which cannot hold them"
    if packed is not None and width * height * depth > _EMPTY + _MOST_PACKED * packed:
        return f"empty or damaged: {width} × {height} pixels in {packed:,} bytes"
    return ""


def check_stack(path: Path, decoded: int, stored: int) -> None:
    """Raise the UnreadableImage of sections whose work would be out of all proportion to what is stored.

    Args:
        path: of the file.
        decoded: bytes of all sections that are read.
        stored: bytes on disk.
    """
    if decoded > MAX_DECODED + _MOST_PACKED * stored:
        raise UnreadableImage(path, f"damaged: claims {decoded >> 20:,} MB of sections in {stored:,} bytes")


def needs_stored(decoded: int) -> int:
    """Return how many bytes on disk are enough for so many of sections."""
    return max(0, -(-(decoded - MAX_DECODED) // _MOST_PACKED))
