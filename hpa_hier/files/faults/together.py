"""Files that belong together: all of them are replaced or none, whenever the process that writes them dies.

They are written to temporary names first. Then a journal beside them says which names they get and what is removed, and
only then are they renamed. Whoever holds the folder's lock next finishes what a journal says.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from hpa_hier.errors import UserError
from hpa_hier.files.faults.leftovers import is_left, is_temporary, name_temporary


@dataclass
class Stage:
    """Files of one folder that wait to be replaced together."""

    folder: Path
    ready: dict[str, Path] = field(default_factory=dict)  # name → the temporary file that is to get it
    removed: list[str] = field(default_factory=list)

    def take(self, path: Path, temporary: Path) -> None:
        """Keep a written file until the others are ready."""
        earlier = self.ready.get(path.name)
        if earlier is not None:
            earlier.unlink(missing_ok=True)
        self.ready[path.name] = temporary
        if path.name in self.removed:
            self.removed.remove(path.name)

    def content(self, name: str) -> bytes:
        """Return what a file will hold; nothing where it will not be there."""
        path = self.ready.get(name, self.folder / name)
        return b"" if name in self.removed or not path.is_file() else path.read_bytes()

    def remove(self, path: Path) -> None:
        """Have a file removed when the others are replaced."""
        if (earlier := self.ready.pop(path.name, None)) is not None:
            earlier.unlink(missing_ok=True)
        self.removed.append(path.name)


synced: ContextVar[bool] = ContextVar("synced", default=True)  # whether files are waited for until they are on disk
_stage: ContextVar[Stage | None] = ContextVar("stage", default=None)


def find_stage(path: Path) -> Stage | None:
    """Return the stage that a file of this path belongs to; None where it is replaced by itself."""
    stage = _stage.get()
    return stage if stage is not None and stage.folder == path.parent else None


@contextmanager
def together(folder: Path, name: str = "") -> Iterator[Stage]:
    """Replace all files that are written right in `folder` at the end of this block, together; the caller has its lock.

    On any exception nothing is replaced.

    Args:
        folder: made where it is absent.
        name: of the lock, where a folder has several; see `lock_folder`.
    """
    around = _stage.get()
    if around is not None and around.folder == folder:  # a part of what is replaced anyway
        yield around
        return
    folder.mkdir(parents=True, exist_ok=True)
    stage = Stage(folder)
    token = _stage.set(stage)
    try:
        yield stage
        finish(folder, name)  # another process's, which the journal of this one would take the place of
    except BaseException:
        for temporary in stage.ready.values():
            temporary.unlink(missing_ok=True)
        raise
    finally:
        _stage.reset(token)
    removed = [one for one in dict.fromkeys(stage.removed) if os.path.lexists(folder / one)]
    if stage.ready or removed:
        _write_journal(stage, removed, name)
        finish(folder, name)


def remove_file(path: Path) -> None:
    """Remove a file, together with what is replaced in its folder where that waits for it."""
    stage = find_stage(path)
    if stage is not None:
        stage.remove(path)
    else:
        path.unlink(missing_ok=True)


def journal_path(folder: Path, name: str = "") -> Path:
    """Return where a folder's journal is while its files are being replaced."""
    return folder / f".{f'{name}.' if name else ''}replacing.json"


def is_journal(name: str) -> bool:
    """Tell whether a file's name is one that `journal_path` gives.

    >>> is_journal(journal_path(Path("run")).name), is_journal(journal_path(Path("run"), "split").name)
    (True, True)
    """
    return name.startswith(".") and name.endswith(f"{journal_path(Path()).name}")


def is_left_journal(path: Path) -> bool:
    """Tell whether a journal is that of a process that is no more; a damaged one is.

    Raises:
        FileNotFoundError: it is not there any more.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):  # a device or a pipe may have no end
        return True
    try:
        ready = json.loads(path.read_text(encoding="utf-8"))["ready"].values()
        waiting = [path.with_name(str(one)) for one in ready]
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, KeyError, RecursionError, AttributeError):
        return True
    return all(is_left(one) for one in waiting if one.exists())


def finish(folder: Path, name: str = "") -> bool:
    """Finish what a journal says, and remove it; return whether it was of files none of which was there before.

    Raises:
        UserError: the journal is none that this module wrote, or a file that it has is gone.
    """
    path = journal_path(folder, name)
    if not path.is_file() or path.is_symlink():
        return False
    try:
        journal = json.loads(path.read_text(encoding="utf-8"))
        ready, removed, fresh = dict(journal["ready"]), list(journal["removed"]), bool(journal["fresh"])
        names = [*ready, *removed]
        if journal["checksum"] != _checksum(ready, removed) or not all(Path(one).name == one for one in names):
            raise ValueError
        if not all(is_temporary(one) for one in ready.values()):
            raise ValueError
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError):
        raise UserError(f"{path}: is damaged; remove it and run the command that writes this folder again") from None
    there = {path.name for path in folder.iterdir()}
    gone = [final for final, temporary in ready.items() if not {final, temporary} & there]
    if gone:
        raise UserError(
            f"{path}: {folder / gone[0]} was to be replaced when a process was killed, and what was written for it is "
            f"gone; remove {path.name} and run the command that writes this folder again"
        )
    for final, temporary in ready.items():
        with suppress(FileNotFoundError):  # it has its name already
            (folder / temporary).replace(folder / final)
    for one in removed:
        (folder / one).unlink(missing_ok=True)
    sync_folder(folder)
    path.unlink(missing_ok=True)
    return fresh


def _write_journal(stage: Stage, removed: list[str], name: str) -> None:
    ready = {final: temporary.name for final, temporary in stage.ready.items()}
    fresh = not any(os.path.lexists(stage.folder / final) for final in ready)
    content = {"ready": ready, "removed": removed, "fresh": fresh, "checksum": _checksum(ready, removed)}
    path = journal_path(stage.folder, name)
    temporary = name_temporary(path)
    try:
        with temporary.open("w", encoding="utf-8") as handle:
            handle.write(json.dumps(content))
            handle.flush()
            if synced.get():
                os.fsync(handle.fileno())
        temporary.replace(path)
    except BaseException:
        for one in (temporary, *stage.ready.values()):
            one.unlink(missing_ok=True)
        raise
    sync_folder(stage.folder)


def _checksum(ready: dict[str, str], removed: list[str]) -> str:
    return hashlib.sha256(json.dumps([sorted(ready.items()), removed]).encode()).hexdigest()


def sync_folder(folder: Path) -> None:
    """Wait until the names of a folder's files are on disk, where the system lets us and they are to be."""
    if not synced.get():
        return
    with suppress(OSError):  # Windows cannot open folders, and some network file systems refuse to sync them
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
