"""Growing arrays: rows that come block by block, in memory while they are few and else in a temporary file."""

from __future__ import annotations

import tempfile
from typing import IO

import numpy as np

_IN_MEMORY = 256 << 20  # bytes


class GrowingRows:
    """Rows of float32.

    >>> rows = GrowingRows(2)
    >>> rows.add(np.zeros((3, 2)))
    >>> rows.finish().shape
    (3, 2)
    """

    def __init__(self, width: int, in_memory: int = _IN_MEMORY) -> None:
        self._width, self._limit = width, in_memory
        self._kept: list[np.ndarray] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None  # has no name, so nothing is left behind

    def add(self, block: np.ndarray) -> None:
        """Append (B, width) numbers; what is too large for float32 becomes infinite."""
        with np.errstate(over="ignore"):
            rows = np.ascontiguousarray(block, dtype=np.float32)
        self._kept.append(rows)
        self._bytes += rows.nbytes
        if self._file is None and self._bytes > self._limit:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the array
        if self._file is not None:
            for kept in self._kept:
                self._file.write(kept.data)
            self._kept.clear()

    def finish(self) -> np.ndarray:
        """Return all rows (R, width); those in a file are mapped, and the file is gone when the array is."""
        if self._file is None:
            return np.concatenate(self._kept) if self._kept else np.empty((0, self._width), np.float32)
        self._file.flush()
        count = self._bytes // (4 * self._width)
        return np.asarray(np.memmap(self._file, np.float32, "r", shape=(count, self._width)))
