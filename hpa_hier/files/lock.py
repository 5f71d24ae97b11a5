"""Locks: one process at a time works in a folder; the system frees a lock when its process dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from hpa_hier.errors import UserError


@contextmanager
def lock_folder(folder: Path, work: str, place: Path | None = None) -> Iterator[None]:
    """Make a folder where it is absent, and hold its lock.

    Args:
        folder: holds the lock.
        work: what the process does there, as "packing into".
        place: what the user calls the folder; None: as it is.

    Raises:
        UserError: another process holds the lock, or the folder cannot be written to.
    """
    named, lock = place or folder, FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UserError(f"{named}: another process is {work} this folder; wait for it, or name another") from None
    except OSError as error:
        raise UserError(f"--out {named}: cannot be written to ({error.strerror}); name another folder") from None
    try:
        yield
    finally:
        lock.release()
