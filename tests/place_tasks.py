"""Functions that tests have called on workers, which find them in a module of this name."""

from __future__ import annotations

import os
import signal
from pathlib import Path


def square(number: int) -> int:
    return number * number


def die_once(folder: Path, number: int) -> int:
    """Kill the process at the first call for 3."""
    mark = folder / f"{number}"
    count = int(mark.read_text()) if mark.exists() else 0
    mark.write_text(str(count + 1))
    if number == 3 and not count:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def fail(kind: type[Exception], number: int) -> int:
    if number == 2:
        raise kind("what went wrong")
    return number


def answer_much(folder: Path, number: int) -> bytes:
    """Leave the process's number, and return a megabyte."""
    (folder / str(os.getpid())).touch()
    return bytes(1 << 20)
