"""PNG and JPEG files: every checksum is compared and damage refused, where most decoders take truncated files."""

from __future__ import annotations

import io
import os
import time
import warnings
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import simplejpeg
from PIL import Image, ImageFile, UnidentifiedImageError

from hpa_hier.data.images.formats.plain_png import decode_plain
from hpa_hier.data.images.kernels.switch import SWITCH
from hpa_hier.data.images.reader import MAX_PIXELS, Layout, UnreadableImage, check_bytes, find_excess

Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # from twice as many on, Pillow itself refuses to open a file
warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # files between the two are refused by our own error
warnings.filterwarnings("ignore", module=r"PIL\.")  # of EXIF and the like, which are not read; without a file's name
_GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "F")  # modes of Pillow
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"  # the end mark with its checksum, which Pillow does not compare
_JPEG_START = b"\xff\xd8"
_ALONE = (0x01, *range(0xD0, 0xDA))  # markers without a segment
_SCAN = b"\xff\xda"  # begins a scan of a JPEG, and is nowhere in its pixels
_MOST_SCANS = 64  # of a progressive JPEG, each of which goes over all pixels again; encoders make about ten
_MOST_PIECES = 1 << 16  # of a file; writers of PNGs put 8 KB of pixels and more into each
_MOST_OVERHEAD = 1 << 16  # bytes that few pixels may have beside them
_PIECE = 1 << 18  # bytes that are inflated at a time
_BY_PILLOW = ("L", "LA", "RGB", "RGBA", "I;16B")  # modes of PNGs


class PngJpegReader:
    """Grey and RGB files of 8 or 16 bits; alpha is dropped."""

    def layout(self, path: Path) -> Layout:
        """Return one plane or three, by the header; what is wrong with a file shows when it is decoded."""
        try:
            with path.open("rb") as file, _open(path, file) as image:
                planes = 1 if image.mode in _GREY else 3
        except Exception:  # Pillow raises whatever the bytes lead to: OSError, SyntaxError, ValueError, …
            return Layout(planes=None, rgb=True)
        return Layout(planes, rgb=planes == 3)

    def read(self, path: Path) -> np.ndarray:
        """Decode a file to (1, H, W) grey or (3, H, W) RGB."""
        check_bytes(path)
        try:
            with path.open("rb", buffering=0) as file:
                data = file.read()
            kernels = SWITCH.kernels
            plain = decode_plain(data, kernels) if kernels else None
            if plain is not None:
                return plain
            with _open(path, io.BytesIO(data)) as image:
                width, height = image.size
                if excess := find_excess(width, height, _count_bytes(image), len(data)):
                    raise UnreadableImage(path, excess)
                if image.format != "PNG":
                    return _decode_jpeg(path, data, image)
                began = time.thread_time()
                planes = _decode_png(path, data, image)
                SWITCH.spend(time.thread_time() - began)
                return planes
        except UnreadableImage:
            raise
        except UnidentifiedImageError:
            raise UnreadableImage(path, f"neither a PNG nor a JPEG header: it begins with {data[:8]!r}") from None
        except Image.DecompressionBombError:
            claim = f"claims over {2 * MAX_PIXELS:,} pixels"
            raise UnreadableImage(path, f"{claim}; at most {MAX_PIXELS:,} are read") from None
        except Exception as error:  # Pillow raises whatever the bytes lead to: OSError, SyntaxError, ValueError, …
            raise UnreadableImage(path, f"damaged or truncated: {error}") from None


def _open(path: Path, file: BinaryIO) -> ImageFile.ImageFile:
    """Read a file's header."""
    _refuse_pieces(path, file)
    return Image.open(file, formats=("PNG", "JPEG"))


def _refuse_pieces(path: Path, file: BinaryIO) -> None:
    """Raise the UnreadableImage of a file of more pieces than a writer makes, over which libraries take their time."""
    start = file.read(len(_PNG_START))
    walk = _walk_chunks(file) if start == _PNG_START else _walk_segments(path, file) if start[:2] == _JPEG_START else ()
    if sum(1 for _ in islice(walk, _MOST_PIECES)) == _MOST_PIECES:
        raise UnreadableImage(path, f"damaged: more than {_MOST_PIECES:,} pieces")
    file.seek(0)


def _walk_chunks(file: BinaryIO) -> Iterator[None]:
    """Go over the chunks of a PNG, each with its length, kind and checksum."""
    while len(head := file.read(8)) == 8:
        yield
        file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)


def _walk_segments(path: Path, file: BinaryIO) -> Iterator[None]:
    """Go over what is before the pixels of a JPEG: segments, each with its marker and length, and bytes that fill."""
    file.seek(len(_JPEG_START))
    while (marker := file.read(2)) != _SCAN:
        yield
        if marker == b"\xff\xff":
            file.seek(-1, os.SEEK_CUR)
        elif marker[:1] != b"\xff":
            raise UnreadableImage(
                path, f"damaged or truncated: no segment of a JPEG at byte {file.tell() - len(marker):,}"
            )
        elif marker[1] not in _ALONE:
            file.seek(int.from_bytes(file.read(2), "big") - 2, os.SEEK_CUR)


def _count_bytes(image: ImageFile.ImageFile) -> int:
    """Return the bytes of a pixel once it is decoded."""
    samples = str(image.tile[0][3]).partition(";") if image.tile else ("", "", "")  # such as I;16B or RGBA;16B
    bands = 4 if image.mode == "P" else len(image.getbands())  # a palette's number becomes a colour
    return bands * (2 if "16" in samples[2] else 1)


def _decode_png(path: Path, data: bytes, image: ImageFile.ImageFile) -> np.ndarray:
    """Check every chunk to the end mark, then decode: with Pillow, which stops where the pixels are complete.

    OpenCV inflates all that is there; it reads what Pillow has other forms for, such as 16-bit RGB.
    """
    mode = str(image.tile[0][3])  # such as "1", "L;4", "I;16B" or "RGB;16B"
    bits = mode if mode == "1" else mode.partition(";")[2]
    if bits in ("1", "2", "4"):
        raise UnreadableImage(path, f"{bits} bit{'s' if bits != '1' else ''} a channel; save it with 8 or 16")
    image.verify()
    if _PNG_END not in data:
        raise UnreadableImage(path, "damaged or truncated: the PNG has no whole end mark")
    if mode in _BY_PILLOW:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as whole:  # as verify leaves none to decode
            found = np.asarray(whole)
        bands = found[None] if found.ndim == 2 else np.moveaxis(found, 2, 0)
        return bands[: 1 if mode.startswith("L") else 3]
    _refuse_surplus(path, data, image)
    planes = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if planes is None or planes.shape[:2] != image.size[::-1]:
        raise UnreadableImage(path, "damaged: it could not be decoded")
    if planes.ndim == 2:
        return planes[None]
    grey = image.mode in _GREY or mode.startswith("LA")  # with alpha, which OpenCV gives as blue, green, red and alpha
    return np.moveaxis(planes[..., :1] if grey or planes.shape[2] < 3 else planes[..., 2::-1], 2, 0)


def _refuse_surplus(path: Path, data: bytes, image: ImageFile.ImageFile) -> None:
    """Raise the UnreadableImage of a PNG that inflates to more than its pixels."""
    packed, place = [], len(_PNG_START)
    while place + 8 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        if data[place + 4 : place + 8] == b"IDAT":
            packed.append(data[place + 8 : place + 8 + size])
        place += size + 12
    width, height = image.size
    most = 2 * height * (1 + width * _count_bytes(image)) + _MOST_OVERHEAD  # interlaced ones have more than a row each
    inflater, rest = zlib.decompressobj(), b"".join(packed)
    while rest and not inflater.eof:
        most -= len(inflater.decompress(rest, _PIECE))
        rest = inflater.unconsumed_tail
        if most < 0:
            raise UnreadableImage(path, f"damaged: more packed pixels than {width} × {height}")


def _decode_jpeg(path: Path, data: bytes, image: ImageFile.ImageFile) -> np.ndarray:
    """Decode with the library that reports damage: all others fill in what is missing, and give a picture."""
    if image.mode not in ("L", "RGB"):
        raise UnreadableImage(path, f"a JPEG of {image.mode} colours; grey (L) and RGB are read")
    scans = data.count(_SCAN)
    if scans > _MOST_SCANS:
        raise UnreadableImage(path, f"{scans:,} scans; a progressive JPEG of more than {_MOST_SCANS} is not read")
    colours = "GRAY" if image.mode == "L" else "RGB"
    return np.moveaxis(simplejpeg.decode_jpeg(data, colours, strict=True), 2, 0)
