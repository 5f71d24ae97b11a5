"""Process: what a command that scores asks of its own process, before and while PyTorch is imported."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Parameters of glibc's mallopt, from malloc.h
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_MOST = 2**31 - 1
_PAD = 64 << 20  # bytes more that are taken at a time


def prepare_process() -> None:
    """Keep freed memory, and let threads of a network that wait for each other sleep, as others are decoding images."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when PyTorch is imported
    keep_freed_memory()


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees; return whether the system's C library can do that.

    A pass of a network makes and frees maps of many megabytes. glibc takes each from the system and gives it back,
    and the system clears every page again: half of the processor time that PyTorch takes for a small network, as
    `benchmarks/predict_speed.py` measures. Values stay the same, and so does about the most memory that is held. It
    serves the main thread; others have arenas of their own.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return all(mallopt(name, value) for name, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _MOST), (_TOP_PAD, _PAD)))


@contextmanager
def collect_later() -> Iterator[None]:
    """Look for no garbage meanwhile: imports, PyTorch's above all, make very many objects, all of which stay."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
