"""Small image folders in every form that is read, for the tests of the data room."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np

CHANNELS = ("red", "green", "blue", "yellow")
TINT = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0)}  # RGB


def planes(seed: int, side: int = 32, dtype: type = np.uint8) -> dict[str, np.ndarray]:
    """Return a random plane for each channel."""
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, np.iinfo(dtype).max, (side, side), dtype=dtype) for name in CHANNELS}


def write(path: Path, image: np.ndarray) -> Path:
    """Write a grey (H, W) or RGB (H, W, 3) image in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coded = cv2.imencode(path.suffix, image if image.ndim == 2 else image[..., ::-1])[1]
    path.write_bytes(coded.tobytes())
    return path


def write_sample(folder: Path, sample_id: str, seed: int = 0, **settings: object) -> dict[str, np.ndarray]:
    """Write one sample as competition files and return its planes."""
    made = planes(seed, **settings)  # type: ignore[arg-type]
    for channel, plane in made.items():
        write(folder / f"{sample_id}_{channel}.png", plane)
    return made


def write_folder(folder: Path, count: int, **settings: object) -> Path:
    """Write samples s0, s1, ... and a label table, and return the table."""
    for i in range(count):
        write_sample(folder, f"s{i}", seed=i, **settings)
    table = folder.parent / "labels.csv"
    table.write_text("Id,Target\n" + "".join(f"s{i},{i % 28}\n" for i in range(count)))
    return table


def tinted(plane: np.ndarray, channel: str) -> np.ndarray:
    """Return a plane as the atlas gives it: in the channel's colour."""
    return plane[..., None] * np.array(TINT[channel], dtype=plane.dtype)


def png(width: int, height: int, bits: int = 8, pixels: bytes = b"", colours: int = 0) -> bytes:
    """Return a PNG that claims a size, whatever its pixels; colours 0 are grey, 4 grey and alpha."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
