"""The processor of this machine: its name, and how many of its cores this process may use."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_set_here: set[str] = set()  # of these, what this process has set; a process that it starts finds them as given


def keep_to_one_thread() -> None:
    """Have numeric libraries that are imported later compute in one thread, where the environment says nothing."""
    for name, one in one_thread().items():
        if name not in os.environ:
            os.environ[name] = one
            _set_here.add(name)


def one_thread() -> dict[str, str]:
    """Return the variables by which a process that is started computes in one thread."""
    return dict.fromkeys(_THREADS, "1")


def environment_as_found() -> dict[str, str]:
    """Return the environment without what `keep_to_one_thread` has set, for a process that gets all of our cores."""
    return {name: value for name, value in os.environ.items() if name not in _set_here or value != "1"}


def count_threads() -> int:
    """Return how many threads compute: as many as OMP_NUM_THREADS says, else as the processor has cores for us.

    What `keep_to_one_thread` has set is nobody's wish and does not count here. It does in processes that inherit it, as
    workers of a place: they work side by side, so each computes in one thread.
    """
    named = environment_as_found().get("OMP_NUM_THREADS", "").partition(",")[0]
    if named.isdecimal() and int(named) > 0:
        return int(named)
    return count_cores()


def count_cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_processor(field: str) -> str:
    """Return what the system tells of the first core, such as "model name" or "flags"; "" where it tells nothing."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, text = line.partition(":")
            if name.strip() == field:
                return text.strip()
    return ""


def name_processor() -> str:
    """Return the processor's name, as far as the system tells."""
    return read_processor("model name") or platform.processor() or platform.machine() or "unknown"


def describe_processor() -> str:
    """Return the processor's name and what it can do, as far as the system tells."""
    return " ".join((platform.machine(), name_processor(), read_processor("flags") or read_processor("Features")))
