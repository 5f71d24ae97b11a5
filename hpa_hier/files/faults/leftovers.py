"""Leftovers: temporary files whose names tell who wrote them, so that those of a killed process can be removed."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

_NAME = re.compile(r"\.(?P<stem>.+)\.(?P<process>\d+)-(?P<machine>[0-9a-f]{4})[0-9a-f]{4}\.tmp(\..*)?", re.DOTALL)
_OLD = 3600.0  # seconds after which another machine's file, in a folder that is locked here, is nobody's


def name_temporary(path: Path) -> Path:
    """Return a new hidden path beside `path`, with its suffix, that names the process and the machine.

    >>> is_temporary(name_temporary(Path("pack/images-00000.npy")).name), is_temporary(".bashrc")
    (True, False)
    """
    return path.with_name(f".{path.stem}.{os.getpid()}-{_machine()}{secrets.token_hex(2)}.tmp{path.suffix}")


def is_temporary(name: str) -> bool:
    """Tell whether a file's name is one that `name_temporary` gives."""
    return _NAME.fullmatch(name) is not None


def sweep(folder: Path, stem: str | None = None) -> None:
    """Remove the temporary files of processes that are no more; who calls this holds the folder's lock.

    Args:
        folder: what lies right in it.
        stem: of the files meant; None: all.
    """
    with suppress(OSError):  # it cannot be listed or written to, which is the writer's to say
        for entry in list(os.scandir(folder)):
            found = _NAME.fullmatch(entry.name)
            if (
                found
                and entry.is_file(follow_symlinks=False)
                and stem in (None, found["stem"])
                and _is_left(entry, int(found["process"]), found["machine"])
            ):
                Path(entry.path).unlink(missing_ok=True)


def _is_left(entry: os.DirEntry[str], process: int, machine: str) -> bool:
    if machine != _machine() or os.name == "nt":  # where asking whether a process is there would end it
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > _OLD
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # it is there, and another user's; or no such process can be
        return False
    return False


@cache
def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:4]
