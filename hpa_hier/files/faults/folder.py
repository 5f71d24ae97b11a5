"""Folders that are whole or absent: written beside their place, synced, renamed; a killed process loses neither."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from hpa_hier.errors import UserError
from hpa_hier.files.faults.leftovers import find_before, is_left, name_before, name_temporary, sweep
from hpa_hier.files.faults.together import sync_folder, synced
from hpa_hier.files.lock import PATIENCE, lock_folder

UNFINISHED = ".unfinished"  # is in a folder of `replacing_folder` until that is known to be whole


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path` to write into; on success sync it and put it in the place of `path`.

    On any exception the temporary folder is removed and `path` is left as it was. One process at a time does so, and
    what a killed one had put aside is first put back. A folder in the place of `path` of which `is_unfinished` tells
    is that of a process which was killed after that, and may be replaced.

    Raises:
        UserError: another process holds the place, or something else took it meanwhile.
    """
    with lock_folder(path.parent, "writing", path, wait=PATIENCE, name=path.name, tidy=True):
        _put_back_all(path)
        sweep(path.parent, path.stem)
        temporary = name_temporary(path)
        temporary.mkdir()
        try:
            yield temporary
            (temporary / UNFINISHED).touch()
            _sync(temporary)
            before = _put_in_place(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        sync_folder(path.parent)
        if before is not None:
            _remove(before)
    (path / UNFINISHED).unlink(missing_ok=True)  # last of all, so that until then the same command may be given again


def is_unfinished(path: Path) -> bool:
    """Tell whether a folder was put in its place by `replacing_folder` in a process that was killed then."""
    return (path / UNFINISHED).is_file()


def list_files(folder: Path) -> list[Path]:
    """Return all files below a folder, sorted; what may not be listed is an error, which `rglob` passes over."""

    def fail(error: OSError) -> None:
        raise error

    return sorted(Path(home, name) for home, _, names in os.walk(folder, onerror=fail) for name in names)


def _put_in_place(temporary: Path, path: Path) -> Path | None:
    """Give a folder its name, and return where that is what was there before."""
    if not os.path.lexists(path):
        temporary.rename(path)
        return None
    before = name_before(path)
    path.rename(before)
    try:
        temporary.rename(path)
    except OSError:
        _put_back(before, path)
        raise
    return before


def _put_back(before: Path, path: Path) -> None:
    """Give what was there its name again, or another one that is seen where its own was taken meanwhile."""
    if not os.path.lexists(path):
        before.rename(path)
        return
    names = (path.with_name(f"{path.name}-before{number or ''}") for number in count())
    free = next(one for one in names if not os.path.lexists(one))
    before.rename(free)
    raise UserError(f"{path}: was made while it was being replaced; what was there before is {free}")


def _put_back_all(path: Path) -> None:
    """Put back what killed processes had put aside, or remove it where the new folder had its name already."""
    for one in path.parent.iterdir():
        if find_before(one.name) == path.name and is_left(one):
            if not os.path.lexists(path):
                one.rename(path)
                sync_folder(path.parent)
            elif is_unfinished(path):
                _remove(one)
            else:
                _put_back(one, path)


def _remove(folder: Path) -> None:
    """Remove a folder, or the link that a user had in its place."""
    if folder.is_symlink():
        folder.unlink(missing_ok=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Wait until a folder and all in it are on disk."""
    if not synced.get():
        return
    for one in folder.rglob("*"):
        if one.is_dir():
            sync_folder(one)
        else:
            with one.open("rb+") as handle:
                os.fsync(handle.fileno())
    sync_folder(folder)
