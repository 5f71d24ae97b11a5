"""Plain PNGs: what nearly all are, decoded by compiled kernels; any that is odd in any way is left to the libraries.

A file that is decoded here is one that they take too, to the same values: whatever they may refuse, or read in a way of
their own, is not plain.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from hpa_hier.data.images.kernels.switch import Kernels
from hpa_hier.data.images.reader import find_excess

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FIRST = 33  # place of the chunk behind the header
_SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}  # by colour type, without palettes: grey, RGB, grey and RGB with alpha
_LENGTHS = {b"pHYs": 9, b"tIME": 7, b"gAMA": 4, b"sRGB": 1, b"cHRM": 32}  # chunks that change no value; bytes of each
_TEXT = b"tEXt"
_LONGEST_TEXT = 4096  # bytes, of all texts; the libraries have limits of their own
_MOST_CHUNKS = 4096  # that writers put the pixels into
_WINDOW = 0x78  # first byte of zlib data with a window of 32 KiB: in a smaller one, a distance may be too far


class _Header(NamedTuple):
    """What a PNG says of its pixels."""

    width: int
    height: int
    depth: int  # bits
    samples: int  # a pixel


def decode_plain(data: bytes, kernels: Kernels) -> np.ndarray | None:
    """Decode a PNG of whole chunks with right checksums, in grey or RGB of 8 or 16 bits, without interlacing.

    Args:
        data: the file.
        kernels: that inflate it and undo its filters.

    Returns:
        (1, H, W) or (3, H, W), without alpha; None: it is not plain, or damaged.
    """
    header = _read_header(data, kernels)
    packed = None if header is None else _join_pixels(data, kernels)
    if header is None or packed is None:
        return None
    step = header.samples * header.depth // 8
    size = header.height * (1 + header.width * step)
    try:
        raw = kernels.inflate(packed, size)
    except Exception:  # damaged, or more than the header says: the libraries say what it is
        return None
    if len(raw) != size:
        return None
    rows = raw.reshape(header.height, -1)
    out = np.empty((1 + header.height, header.width * step), np.uint8)
    out[0] = 0  # what is above the first row
    if not kernels.unfilter(rows, out, step):
        return None
    del raw, rows  # as large as what follows
    pixels = out[1:]
    if header.depth == 16:
        pixels = pixels.view(">u2").astype(np.uint16)
    if header.samples == 1:
        return pixels[None]
    colours = header.samples if header.samples % 2 else header.samples - 1  # without alpha
    return np.moveaxis(pixels.reshape(header.height, header.width, -1)[..., :colours], 2, 0)


def _read_header(data: bytes, kernels: Kernels) -> _Header | None:
    if len(data) < _FIRST or data[:16] != _SIGNATURE + b"\0\0\0\rIHDR" or not _is_whole(data, 12, 29, kernels):
        return None
    width, height, depth, colour, packing, filters, interlace = struct.unpack(">IIBBBBB", data[16:29])
    plain = colour in _SAMPLES and depth in (8, 16) and (packing, filters, interlace) == (0, 0, 0)
    if not plain or find_excess(width, height, _SAMPLES[colour] * depth // 8, len(data)):
        return None
    return _Header(width, height, depth, _SAMPLES[colour])


def _join_pixels(data: bytes, kernels: Kernels) -> bytes | memoryview | None:
    """Return the packed pixels; None: a chunk is odd, damaged, or not where it should be."""
    parts: list[memoryview] = []
    places: list[int] = []
    texts = 0  # bytes
    at = _FIRST
    for number in range(_MOST_CHUNKS):
        kind, start = data[at + 4 : at + 8], at + 8
        length = int.from_bytes(data[at : at + 4], "big")
        at = start + length + 4
        if at > len(data) or not _is_whole(data, start - 4, at - 4, kernels):
            return None
        if kind == b"IDAT":
            parts.append(memoryview(data)[start : at - 4])
            places.append(number)
        elif kind == b"IEND":
            break
        elif kind == _TEXT:
            texts += length
        elif _LENGTHS.get(kind) != length:
            return None
    ends = kind == b"IEND" and length == 0 and at == len(data) and texts <= _LONGEST_TEXT
    if not ends or not parts or places[-1] - places[0] != len(places) - 1:
        return None
    packed = parts[0] if len(parts) == 1 else b"".join(parts)
    return packed if len(packed) > 2 and packed[0] == _WINDOW else None


def _is_whole(data: bytes, start: int, end: int, kernels: Kernels) -> bool:
    """Tell whether a chunk, from its kind to the end of what it holds, is followed by its checksum."""
    return kernels.checksum(memoryview(data)[start:end]) == int.from_bytes(data[end : end + 4], "big")
