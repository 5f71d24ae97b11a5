"""Cache: what is made once on this machine, such as converted networks, each in a file with its checksum."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from hpa_hier.files.atomic import text_digest, write_bytes
from hpa_hier.files.remote.cache import FOLDER, cache_folder

_FIRST = b"hpa-hier cache 1 "  # a file begins with this and a checksum of its key and its content
_WAIT = 600  # seconds for which another process may be making the same
_told: set[Path] = set()  # folders that cannot be written to


def keep(kind: str, key: Sequence[str], make: Callable[[], bytes]) -> bytes:
    """Return what was made for a key, or make it and keep it.

    A file that is damaged, or that something else wrote, is made again. Of two processes that want the same, one makes
    it and the other waits. Where nothing can be kept, a line says so, and it is made each time.

    Args:
        kind: of what is made, the first word of its file's name.
        key: all that it depends on.
        make: makes it.
    """
    path = cache_folder() / f"{kind}-{text_digest(kind, *key)}"
    if (kept := _read(path, key)) is not None:
        return kept
    with _alone(path) as may_write:
        if (kept := _read(path, key)) is not None:
            return kept
        made = make()
        if may_write:
            try:
                write_bytes(path, _FIRST + _checksum(key, made) + b"\n" + made)
            except OSError as error:
                _tell(path.parent, error)
        return made


def can_keep() -> bool:
    """Tell whether something can be kept: where nothing can, what saves little time is not worth making each time."""
    folder = cache_folder()
    return os.access(next(one for one in (folder, *folder.parents) if one.exists()), os.W_OK)


def _read(path: Path, key: Sequence[str]) -> bytes | None:
    """Return the content of a file of the cache; None where it is absent, damaged or of something else."""
    try:
        first, _, content = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    return content if first == _FIRST + _checksum(key, content) else None


def _checksum(key: Sequence[str], content: bytes) -> bytes:
    digest = hashlib.sha256("\0".join(key).encode())
    digest.update(b"\0" + content)
    return digest.hexdigest().encode()


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Hold the lock of a file; give whether it can be written."""
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=_WAIT)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError, Timeout) as error:  # no room, no right, no locks, or a process that hangs
        _tell(path.parent, error)
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _tell(folder: Path, error: BaseException) -> None:
    if folder not in _told:
        _told.add(folder)
        why = getattr(error, "strerror", None) or str(error)
        print(f"{folder}: nothing can be kept there ({why}); {FOLDER} names another folder", file=sys.stderr)
