"""Switch: kernels are compiled where the extra `fast` is there, and enough is read, or to be read, for it to pay."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

_TIMED = 8  # files that tell how long one takes
_KEPT = 16 << 20  # bytes a thread keeps to inflate into
PRICE = 2.0  # s of processor time that importing numba and compiling take; benchmarks/pack_speed.py prints it


@dataclass(frozen=True)
class Kernels:
    """Loops that release the interpreter's lock."""

    unfilter: Callable[[np.ndarray, np.ndarray, int], bool]
    count: Callable[[np.ndarray, np.ndarray], None]
    sum_squares: Callable[[np.ndarray, int, np.ndarray, np.ndarray], None]
    shrink: Callable[..., None]
    inflate: Callable[[bytes | memoryview, int], np.ndarray]  # zlib data, and how many bytes they hold at most
    checksum: Callable[[bytes | memoryview], int]  # CRC-32


class Switch:
    """Compiles once: as soon as what is left to read would take as long without kernels as compiling does.

    With kernels a file takes less than half the time. Where nobody knows how many there are, it is when reading without
    kernels has taken as long: so whatever number comes, no more than twice the time is spent that the better of the two
    ways would have taken from the first file on, and more cannot be promised without knowing that number.

    Source: renting skis, as in Karlin, Manasse, Rudolph & Sleator, Competitive snoopy caching, Algorithmica 1988.
    """

    def __init__(self) -> None:
        self.kernels: Kernels | None = None
        self._allowed = self._tried = False
        self._spent, self._read, self._left = 0.0, 0, 0  # s, and files
        self._lock = threading.Lock()

    def allow(self, files: int = 0) -> None:
        """Allow compiling in this process: for commands that read folders, where one image may wait for it.

        Args:
            files: that are to be read from now on; there may be more.
        """
        self._allowed, self._left = True, files

    def spend(self, seconds: float) -> None:
        """Note processor time of reading a file without kernels; one thread compiles once it pays, others read on."""
        with self._lock:
            self._spent, self._read, self._left = self._spent + seconds, self._read + 1, self._left - 1
            left = self._left * self._spent / self._read if self._read >= _TIMED else 0.0
            compiles = self._allowed and not self._tried and max(self._spent, left) >= PRICE
            self._tried |= compiles
        if compiles:
            self.kernels = compile_kernels()


SWITCH = Switch()


def compile_kernels() -> Kernels | None:
    """Import and compile; None: the extra `fast` is not there, or does not work beside the numpy that is."""
    try:
        codecs: Any = import_module("imagecodecs")
        from hpa_hier.data.images.kernels.compiled import count, shrink, sum_squares, unfilter
    except Exception:  # numba's import runs much, and may fail at whatever else is installed
        return None
    return Kernels(unfilter, count, sum_squares, shrink, _Inflater(codecs.deflate_decode), codecs.deflate_crc32)


class _Inflater(threading.local):
    """Inflates into memory that each thread uses again: fresh memory costs a third of inflating."""

    def __init__(self, decode: Callable[..., Any]) -> None:
        self._decode = decode
        self._room = np.empty(0, np.uint8)

    def __call__(self, packed: bytes | memoryview, most: int) -> np.ndarray:
        """Return the bytes (n,) uint8, which stay until the next call in this thread."""
        room = self._room if most <= self._room.size else np.empty(most, np.uint8)
        if most <= _KEPT:
            self._room = room
        return np.frombuffer(self._decode(packed, out=room[:most]), np.uint8)
