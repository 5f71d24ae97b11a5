"""Workers: the processes that share a prediction, each known by a lock that the system frees when it dies."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from hpa_hier.errors import UserError

FINISHING = "finishing"  # is there while the tables get their names
_PLANNED = ".planned"  # beside the lock of a worker that knows which images there are
_DOOR = 600.0  # seconds that another process may take to look through what is kept
_KNOCK = 0.05  # seconds


class Workers:
    """This process among those that work in a folder."""

    def __init__(self, folder: Path, place: Path) -> None:
        """Work in `folder`, which is made where it is absent; people call it `place`."""
        self._folder, self._place = folder, place
        self._own: FileLock | None = None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let no other worker through this door until the block ends.

        Raises:
            UserError: the folder cannot be written to, or its file system has no locks.
        """
        door = self._knock()
        try:
            yield
        finally:
            door.release()

    def join(self) -> None:
        """Count as a worker from now on; the caller is alone, so that nobody takes its lock for a dead one's."""
        self._own = try_lock(self._make() / f"{secrets.token_hex(8)}.lock")

    def note_plan(self) -> None:
        """Note that this worker knows the images."""
        if self._own is not None:
            Path(self._own.lock_file).with_suffix(_PLANNED).touch()

    def count_others(self, *, planned: bool = False) -> int:
        """Return how many other workers are alive, or alive and planned; what dead ones have left is removed."""
        alive = 0
        for path in self._make().glob("*.lock"):
            if self._own is not None and path == Path(self._own.lock_file):
                continue
            lock = try_lock(path)
            if lock is None:
                alive += not planned or path.with_suffix(_PLANNED).exists()
            else:
                drop_lock(lock)
        return alive

    def leave(self) -> None:
        """Count no longer as a worker."""
        if self._own is not None:
            drop_lock(self._own)
            self._own = None

    def remove(self) -> None:
        """Remove the folder; the caller is alone, and so its door goes last, when nothing of this is left behind it."""
        for folder in (self._folder, self._door.parent):
            for path in folder.iterdir() if folder.is_dir() else ():
                if path not in (self._door.parent, self._door, self._folder / FINISHING):
                    with suppress(OSError):  # a folder of somebody else's
                        path.unlink()
        with suppress(OSError):  # Windows removes no open file; or somebody has come in again meanwhile
            self._door.unlink(missing_ok=True)
            self._door.parent.rmdir()
            (self._folder / FINISHING).unlink(missing_ok=True)  # until here, the same command may be given again
            self._folder.rmdir()

    @property
    def _door(self) -> Path:
        return self._folder / "workers" / "door"

    def _knock(self) -> FileLock:
        """Return the lock of the door, held; the folder may be removed by the last worker meanwhile."""
        until = time.monotonic() + _DOOR
        while time.monotonic() < until:
            self._make()
            door = try_lock(self._door)
            if door is not None:
                return door
            time.sleep(_KNOCK)
        raise UserError(f"{self._place}: another process has been preparing there for {_DOOR:.0f} s; end it")

    def _make(self) -> Path:
        workers = self._folder / "workers"
        with _told(self._place):
            with suppress(FileNotFoundError):  # where the last worker removes the folder at this very moment
                workers.mkdir(parents=True, exist_ok=True)
            workers.mkdir(parents=True, exist_ok=True)
        return workers


def try_lock(path: Path) -> FileLock | None:
    """Return the held lock of a file; None where another process holds it, or its folder is gone.

    Raises:
        UserError: the file system has no locks, or the file cannot be written.
    """
    if not path.parent.is_dir():
        return None
    lock = FileLock(path, timeout=0, thread_local=False)  # any thread of this process may release it
    try:
        lock.acquire()
    except (Timeout, FileNotFoundError):
        return None
    except (OSError, NotImplementedError) as error:  # the latter of older versions of filelock, for no locks at all
        why = getattr(error, "strerror", None) or "no locks there"
        raise UserError(f"{path}: cannot be locked ({why}); name a folder on another file system with --out") from None
    return lock


def drop_lock(lock: FileLock) -> None:
    """Release a lock and remove its file; who waits for it looks again at what it guards."""
    path = Path(lock.lock_file)
    with suppress(OSError):  # Windows removes no open file
        path.with_suffix(_PLANNED).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    lock.release()


@contextmanager
def _told(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"--out {place}: cannot be written to ({error.strerror}); name another folder") from None
