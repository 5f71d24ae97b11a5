"""Marks of a folder that a command has begun to write: if it is killed, the same command may be given again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hpa_hier.files.faults.leftovers import find_stem, is_left, name_temporary
from hpa_hier.files.faults.together import is_journal, is_left_journal, journal_path

_STEM = "begun"  # of the mark, a temporary file, whose name tells the process


def is_begun(folder: Path) -> bool:
    """Tell whether a process was killed that wrote into a folder which had been free, so that all there is its own."""
    with suppress(OSError):
        return any(find_stem(one.name) == _STEM and is_left(one) for one in folder.glob(f".{_STEM}.*"))
    return False


def is_finished(path: Path) -> bool:
    """Tell whether a file is there, and no process was killed while it wrote what belongs to it in its folder."""
    journals = (one for one in path.parent.glob(".*") if is_journal(one.name))
    with suppress(FileNotFoundError):  # of another process, which has finished meanwhile
        return path.exists() and not is_begun(path.parent) and not any(map(is_left_journal, journals))
    return True


@contextmanager
def begin(folder: Path, first: str) -> Iterator[bool]:
    """Mark a folder until the block ends, where it is free or what is there is of a process that was killed.

    The mark stays where the block fails after files were ready: what is there is not whole, and once this process has
    ended, the same command may be given again.

    Args:
        folder: made where absent, and removed where nothing is written into it.
        first: the file that is there when the folder is not free.

    Yields:
        Whether what is there may be replaced, as that of a process that was killed.
    """
    resumed, mark = is_begun(folder), name_temporary(folder / _STEM)
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    if resumed or not (folder / first).exists():
        with suppress(OSError):  # which whoever writes there will say
            folder.mkdir(parents=True, exist_ok=True)
            mark.touch()
    whole = False
    try:
        yield resumed
        whole = True
    finally:
        if whole or not ((folder / first).exists() or journal_path(folder).exists()):
            with suppress(OSError):
                mark.unlink(missing_ok=True)
                for one in made:
                    one.rmdir()
