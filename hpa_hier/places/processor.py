"""The processor of this machine: its name, and how many of its cores this process may use."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path


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
