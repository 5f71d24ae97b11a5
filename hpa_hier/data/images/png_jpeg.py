"""PNG and JPEG files: checked before they are decoded, since decoders take truncated files quietly."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hpa_hier.errors import UserError

MAX_PIXELS = 64 << 20  # pixels of one plane; a small file can claim far more than memory holds
MAX_BYTES = 1 << 30  # bytes of one file
_MOST_PIXELS_A_BYTE = 2000  # deflate packs at most 1,032 to one, and an empty JPEG takes two bits a block
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_COLOURS = {0: "grey", 2: "rgb", 3: "palette", 4: "grey with alpha", 6: "rgb with alpha"}
_JPEG_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})


class UnreadableImage(UserError):  # noqa: N818  (a state of an image, which is listed and passed over)
    """An image that cannot be used; the rest of a folder can."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason


@dataclass(frozen=True)
class _Header:
    width: int
    height: int
    bits: int


def read_png_jpeg(path: Path) -> np.ndarray:
    """Decode a PNG or JPEG file.

    Returns:
        (H, W) grey or (H, W, 3) RGB, uint8 or uint16; alpha is dropped.

    Raises:
        UnreadableImage: the file is empty, truncated, damaged, too large, or of a depth other than 8 or 16 bits.
    """
    data = read_bytes(path)
    header = _png_header(path, data) if data.startswith(_PNG) else _jpeg_header(path, data)
    if header.bits not in (8, 16):
        raise UnreadableImage(path, f"{header.bits} bits a channel; save it with 8 or 16")
    check_pixels(path, header.width, header.height)
    if header.width * header.height > _MOST_PIXELS_A_BYTE * len(data):
        claim = f"{header.width} × {header.height} pixels in {len(data):,} bytes"
        raise UnreadableImage(path, f"damaged: claims {claim}, which cannot hold them")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.shape[:2] != (header.height, header.width):
        raise UnreadableImage(path, "damaged: it could not be decoded")
    if image.ndim == 2:
        return image
    return image[..., 0] if image.shape[2] < 3 else cv2.cvtColor(image[..., :3], cv2.COLOR_BGR2RGB)


def read_bytes(path: Path) -> bytes:
    """Read a file that is to be an image.

    Raises:
        UnreadableImage: it cannot be read, is empty, or is larger than an image may be.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UnreadableImage(path, f"{size >> 20} MB; an image file holds at most {MAX_BYTES >> 20} MB")
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableImage(path, f"cannot be read ({error.strerror})") from None
    if not data:
        raise UnreadableImage(path, "0 bytes")
    return data


def check_pixels(path: Path, width: int, height: int) -> None:
    """Refuse sizes that no field of view has.

    Raises:
        UnreadableImage: a side is 0, or there are more pixels than `MAX_PIXELS`.
    """
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise UnreadableImage(path, f"claims {width} × {height} pixels; at most {MAX_PIXELS:,} are read")


def _png_header(path: Path, data: bytes) -> _Header:
    """Walk the chunks to the end mark, checking each one's checksum."""
    position, header, view = len(_PNG), None, memoryview(data)
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind, end = data[position + 4 : position + 8], position + 12 + length
        if end > len(data):
            break
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise UnreadableImage(path, f"damaged: the checksum of its {kind.decode('latin-1')!r} chunk is wrong")
        if header is None:
            header = _png_frame(path, kind, data[position + 8 : end - 4])
        if kind == b"IEND":
            return header
        position = end
    raise UnreadableImage(path, f"truncated: the PNG ends after {len(data):,} bytes without its end mark")


def _png_frame(path: Path, kind: bytes, content: bytes) -> _Header:
    if kind != b"IHDR" or len(content) != 13 or content[9] not in _PNG_COLOURS:
        raise UnreadableImage(path, "damaged: the PNG does not begin with its header")
    width, height = int.from_bytes(content[:4], "big"), int.from_bytes(content[4:8], "big")
    return _Header(width, height, content[8])


def _jpeg_header(path: Path, data: bytes) -> _Header:
    """Find the frame header, and the end mark behind the picture."""
    if not data.startswith(b"\xff\xd8"):
        raise UnreadableImage(path, f"neither PNG nor JPEG: it begins with {data[:8]!r}")
    position, header = 2, None
    while position + 4 <= len(data) and data[position] == 0xFF:
        mark = data[position + 1]
        if mark == 0xFF:  # fill byte
            position += 1
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if mark in _JPEG_FRAMES and position + 10 <= len(data):
            header = _jpeg_frame(path, data[position + 4 : position + 10])
        if mark == 0xDA:  # the picture itself follows
            break
        position += 2 + length
    if header is None or data.find(b"\xff\xd9", position) < 0:
        raise UnreadableImage(path, f"truncated: the JPEG ends after {len(data):,} bytes without its end mark")
    return header


def _jpeg_frame(path: Path, content: bytes) -> _Header:
    if content[5] not in (1, 3):
        raise UnreadableImage(path, f"a JPEG with {content[5]} colour components; grey (1) and RGB (3) are read")
    return _Header(int.from_bytes(content[3:5], "big"), int.from_bytes(content[1:3], "big"), content[0])
