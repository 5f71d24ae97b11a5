"""Leftovers: temporary files whose names tell who wrote them, so that those of a killed process can be removed."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

_NAME = re.compile(r"\.(?P<stem>.+)\.(?P<process>\d+)-(?P<machine>[0-9a-f]{4})[0-9a-f]{4}\.tmp(\..*)?", re.DOTALL)
_BEFORE = re.compile(r"\.(?P<stem>.+)\.(?P<process>\d+)-(?P<machine>[0-9a-f]{4})[0-9a-f]{4}\.before", re.DOTALL)
_JOURNAL = ".*replacing.json"  # names that `together.journal_path` gives
_OLD = 3600.0  # seconds after which another machine's file, in a folder that is locked here, is nobody's


def name_temporary(path: Path) -> Path:
    """Return a new hidden path beside `path`, with its suffix, that names the process and the machine.

    >>> is_temporary(name_temporary(Path("pack/images-00000.npy")).name), is_temporary(".bashrc")
    (True, False)
    """
    return path.with_name(f".{path.stem}.{os.getpid()}-{_machine()}{secrets.token_hex(2)}.tmp{path.suffix}")


def name_before(path: Path) -> Path:
    """Return a new hidden path beside `path` for what was there before; it is a user's, and never swept."""
    return path.with_name(f".{path.name}.{os.getpid()}-{_machine()}{secrets.token_hex(2)}.before")


def is_temporary(name: str) -> bool:
    """Tell whether a file's name is one that `name_temporary` gives."""
    return _NAME.fullmatch(name) is not None


def sweep(folder: Path, stem: str | None = None) -> None:
    """Remove the temporary files and folders of processes that are no more.

    Those stay to which a journal, of whatever lock of the folder, is to give their names.

    Args:
        folder: what lies right in it; who asks for all of it holds its lock.
        stem: of the files meant; None: all.
    """
    with suppress(OSError):  # it cannot be listed or written to, which is the writer's to say
        left = [Path(entry) for entry in os.scandir(folder) if not entry.is_symlink() and is_temporary(entry.name)]
        left = [path for path in left if is_left(path) and stem in (None, find_stem(path.name))]
        promised = _find_promised(folder) if left else set()  # read last: the dead write no other journal
        if promised is not None:
            for path in left:
                if path.name not in promised:
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def find_stem(name: str) -> str | None:
    """Return the stem of the path that a temporary file is to become; None: it is no such file."""
    found = _NAME.fullmatch(name)
    return found and found["stem"]


def find_before(name: str) -> str | None:
    """Return the name of the path before which something was there; None: it is no such name."""
    found = _BEFORE.fullmatch(name)
    return found and found["stem"]


def _find_promised(folder: Path) -> set[str] | None:
    """Return the files that journals of a folder are to give their names; None: that cannot be told."""
    promised: set[str] = set()
    for journal in folder.glob(_JOURNAL):
        if journal.is_symlink() or not journal.is_file():  # which `finish` passes over; a device may have no end
            continue
        try:
            promised.update(json.loads(journal.read_text(encoding="utf-8"))["ready"].values())
        except FileNotFoundError:  # finished meanwhile
            continue
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
    return promised


def is_left(path: Path) -> bool:
    """Tell whether a path is a temporary one, or what was there before, of a process that is no more.

    Raises:
        FileNotFoundError: it is not there any more, where that is asked.
    """
    found = _NAME.fullmatch(path.name) or _BEFORE.fullmatch(path.name)
    if found is None:
        return False
    process = int(found["process"])
    if found["machine"] != _machine() or os.name == "nt":  # where asking whether a process is there would end it
        return time.time() - path.lstat().st_mtime > _OLD
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
    """Return a mark of what numbers this process: a machine, or a container, which may have the machine's name."""
    try:
        numbers = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # of another system
        numbers = ""
    return hashlib.sha256(f"{platform.node()} {numbers}".encode()).hexdigest()[:4]
