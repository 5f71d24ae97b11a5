"""Shards: the image arrays of a pack, one .npy file each, read as memory maps."""

from __future__ import annotations

import mmap
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import sha256, write_with

SHARD_STEM = "images-" + "[0-9]" * 5  # pattern of the names that `shard_name` gives, without their suffix
_BUFFER_BYTES = 256 << 20  # what one shard may hold in memory while it is filled
_MOST_ROWS = 1024
_MOST_SHARDS = 500  # each open shard takes a file handle, of which a process often has 1,024
_ASKED_FOR = 1 << 16  # bytes of an image from which asking for its pages ahead costs less than it saves


@dataclass(frozen=True)
class Shard:
    """One finished shard, as `pack.json` lists it."""

    file: str
    rows: int
    sha256: str


def is_inside(path: Path) -> bool:
    """Tell whether a shard is a regular file of its folder, and no link that leaves it."""
    return path.is_file() and path.resolve().parent == path.parent.resolve()


def rows_per_shard(count: int, channels: int, size: int) -> int:
    """Return how many images a shard holds: at most 1,024 and 256 MiB, unless that would make over 500 shards.

    >>> rows_per_shard(2000, 4, 128), rows_per_shard(2000, 4, 512), rows_per_shard(2_000_000, 4, 128)
    (1024, 256, 4000)
    """
    fitting = max(1, min(_MOST_ROWS, _BUFFER_BYTES // (channels * size * size)))
    return max(fitting, -(-count // _MOST_SHARDS))


def shard_name(number: int) -> str:
    """Return the file name of a shard."""
    return f"images-{number:05d}.npy"


def is_shard_name(name: str) -> bool:
    """Tell whether a file name is one that `shard_name` gives, which leads nowhere else.

    >>> is_shard_name(shard_name(7)), is_shard_name("../images-00007.npy")
    (True, False)
    """
    return re.fullmatch(r"images-[0-9]{5,}\.npy", name) is not None


def write_shard(folder: Path, number: int, images: np.ndarray) -> Shard:
    """Write (B, C, S, S) uint8 images, or (B, F) float32 vectors, as one shard, whole or not at all."""
    path = folder / shard_name(number)
    write_with(path, lambda handle: np.lib.format.write_array(handle, images, allow_pickle=False))
    return Shard(path.name, len(images), sha256(path))


class Shards:
    """The shards of a pack, opened as read-only memory maps."""

    def __init__(
        self, folder: Path, shards: Sequence[Shard], sample_shape: tuple[int, ...], dtype: type[np.generic] = np.uint8
    ) -> None:
        self._shape, self._dtype = sample_shape, np.dtype(dtype)
        self._opened = [_open(folder, shard.file, (shard.rows, *sample_shape), self._dtype) for shard in shards]
        self._ends = np.cumsum([shard.rows for shard in shards])

    def gather(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Copy the samples at `rows` (B,) into `out` or a new array: (B, C, S, S) uint8 or (B, F) float32.

        A buffer used again and again saves the cost of fresh memory.
        """
        rows = np.asarray(rows, dtype=np.int64)
        count = int(self._ends[-1]) if len(self._ends) else 0
        if len(rows) and (rows.min() < 0 or rows.max() >= count):
            raise IndexError(f"row {rows.min() if rows.min() < 0 else rows.max()} of a pack with {count} images")
        if out is None:
            out = np.empty((len(rows), *self._shape), dtype=self._dtype)
        elif out.shape != (len(rows), *self._shape) or out.dtype != self._dtype:
            raise ValueError(f"out is {out.dtype} {out.shape}, needed is {self._dtype} {(len(rows), *self._shape)}")
        number = np.searchsorted(self._ends, rows, side="right")
        local = rows - np.concatenate([[0], self._ends])[number]
        places = list(zip(number.tolist(), local.tolist(), strict=True))
        if int(np.prod(self._shape)) >= _ASKED_FOR:
            for shard, row in places:
                self._will_need(shard, row)
        for image, (shard, row) in zip(out, places, strict=True):
            image[...] = self._opened[shard][1][row]
        return out

    def _will_need(self, shard: int, row: int) -> None:
        """Ask for an image's pages at once; on a cold file that reads 2.8 times faster than one fault after another."""
        if not hasattr(mmap, "MADV_WILLNEED"):  # as on Windows
            return
        memory, array = self._opened[shard]
        length = array.strides[0]
        start = len(memory) - array.nbytes + row * length
        aligned = start - start % mmap.PAGESIZE
        memory.madvise(mmap.MADV_WILLNEED, aligned, start + length - aligned)


def _open(folder: Path, file: str, shape: tuple[int, ...], wanted: np.dtype[Any]) -> tuple[mmap.mmap, np.ndarray]:
    path = folder / file
    if Path(file).name != file or not is_inside(path):
        raise UserError(f"{path}: no shard of the pack, or a link that leaves it; pack the images again")
    try:
        with path.open("rb") as handle:
            if np.lib.format.read_magic(handle) != (1, 0):
                raise ValueError("not format 1.0")
            found, fortran, dtype = np.lib.format.read_array_header_1_0(handle)
            offset = handle.tell()
            memory = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    except Exception as error:  # a damaged header raises any of a dozen kinds
        raise UserError(f"{path}: no readable shard ({error}); pack the images again") from None
    length = offset + int(np.prod(shape)) * wanted.itemsize
    if (found, fortran, dtype) != (shape, False, wanted) or len(memory) != length:
        raise UserError(
            f"{path}: holds {dtype} {found} in {len(memory)} bytes where pack.json says {wanted} {shape}; "
            "pack the images again"
        )
    return memory, np.frombuffer(memory, dtype=wanted, offset=offset).reshape(shape)
