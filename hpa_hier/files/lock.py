"""Locks: one process at a time works in a folder; the system frees a lock when its process dies."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from hpa_hier.errors import UserError
from hpa_hier.files.faults.leftovers import sweep
from hpa_hier.files.faults.together import finish, journal_path

PATIENCE = 600.0  # seconds that a command waits for another one that replaces the same small files
_SAID_AFTER = 1.0  # seconds


@contextmanager
def lock_folder(
    folder: Path,
    work: str,
    place: Path | None = None,
    *,
    wait: float = 0.0,
    name: str = "",
    flag: str = "--out ",
    tidy: bool = False,
) -> Iterator[bool]:
    """Make a folder where it is absent, and hold its lock; what killed processes left there is finished or removed.

    Args:
        folder: holds the lock.
        work: what the process does there, as "packing into".
        place: what the user calls the folder; None: as it is.
        wait: seconds for which another process is waited for.
        name: of the files that are meant, their stem, where a folder is not one command's; "": all.
        flag: of the command line that names the folder, with a space behind it; "": none.
        tidy: remove the lock's file in the end, from a folder that a user hands on; who waits for it makes another.

    Yields:
        Whether a process was killed while it gave their names to files of which none was there before.

    Raises:
        UserError: another process holds the lock, or the folder cannot be written to.
    """
    named, lock = place or folder, FileLock(folder / f".{name}{'.' if name else ''}lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _acquire(lock, wait, f"{named}: waiting for another process, which is {work} it")
    except Timeout:
        raise UserError(f"{named}: another process is {work} this folder; wait for it, or name another") from None
    except NotImplementedError:  # of filelock, where the file system has none
        raise UserError(f"{flag}{named}: its file system has no locks; name a folder on another one") from None
    except OSError as error:
        raise UserError(f"{flag}{named}: cannot be written to ({error.strerror}); name another folder") from None
    try:
        fresh = finish(folder, name)
        for stem in (name, journal_path(folder, name).stem) if name else (None,):
            sweep(folder, stem)
        yield fresh
    finally:
        if tidy:
            with suppress(OSError):  # Windows removes no open file
                Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def settle(folder: Path, work: str = "writing", name: str = "") -> None:
    """Have what another process is replacing in a folder finished before it is read.

    Raises:
        UserError: it was killed in between, and the folder cannot be written to; or it takes too long.
    """
    if journal_path(folder, name).is_file():
        with lock_folder(folder, work, wait=PATIENCE, name=name, flag=""):
            pass


def _acquire(lock: FileLock, wait: float, line: str) -> None:
    try:
        lock.acquire(timeout=min(wait, _SAID_AFTER))
    except Timeout:
        if wait <= _SAID_AFTER:
            raise
        print(line, file=sys.stderr)
        lock.acquire(timeout=wait)
