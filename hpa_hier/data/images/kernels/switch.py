"""Switch: kernels are compiled where the extra `fast` is there, and not before enough was read for it to pay."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

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
    """Compiles once, when reading without kernels has taken as long as compiling takes.

    So whatever number of images comes, no more than twice the time is spent that the better of the two ways would have
    taken from the first image on; more cannot be promised without knowing that number.

    Source: renting skis, as in Karlin, Manasse, Rudolph & Sleator, Competitive snoopy caching, Algorithmica 1988.
    """

    def __init__(self) -> None:
        self.kernels: Kernels | None = None
        self._allowed = False
        self._spent = 0.0  # s
        self._lock = threading.Lock()

    def allow(self) -> None:
        """Allow compiling in this process: for commands that read folders, where one image may wait for it."""
        self._allowed = True

    def spend(self, seconds: float) -> None:
        """Note processor time of reading without kernels; the thread that makes it enough compiles, others read on."""
        if not self._allowed:
            return
        with self._lock:
            before, self._spent = self._spent, self._spent + seconds
        if before < PRICE <= self._spent:
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
