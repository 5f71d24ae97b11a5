"""A folder that is to be written to: whether a file can be made, synced, renamed and locked there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from hpa_hier.cli.doctor.finding import Finding
from hpa_hier.files.faults.leftovers import name_temporary, sweep
from hpa_hier.files.faults.machine import describe_refusal

_PROBE = "doctor"  # stem of the files that are made and removed


def try_folder(folder: Path) -> list[Finding]:
    """Try what writing a file takes, in the folder or in the nearest one above that is there; nothing is left."""
    place = next(one for one in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(one))
    text = f"{folder}" if place == folder.absolute() else f"{folder} (not there yet, so {place})"
    if not place.is_dir():
        return [Finding(f"{folder}", f"{place}: is no folder; move it, or name another place", wrong=True)]
    sweep(place, _PROBE)  # of one that was killed
    try:
        _write_a_file(place)
        how, wrong = "files can be written, synced, renamed and locked there", False
    except OSError as error:
        refused = OSError(error.errno, error.strerror or str(error), str(place))
        how, wrong = describe_refusal(refused) or f"{place}: cannot be written to ({refused.strerror})", True
    except NotImplementedError:  # of filelock
        how, wrong = "its file system has no locks; name a folder on another one", True
    try:
        room = f"{shutil.disk_usage(place).free / 2**30:,.1f} GB free"
    except OSError as error:
        room = f"its room is not known ({error.strerror})"
    return [Finding(text, f"{how}; {room}", wrong)]


def _write_a_file(folder: Path) -> None:
    from filelock import FileLock

    first = name_temporary(folder / f"{_PROBE}.txt")
    second, lock = name_temporary(folder / f"{_PROBE}.txt"), name_temporary(folder / f"{_PROBE}.lock")
    try:
        with first.open("wb") as handle:
            handle.write(bytes(1 << 16))
            handle.flush()
            os.fsync(handle.fileno())
        first.replace(second)
        with FileLock(lock, timeout=0):
            pass
    finally:
        for one in (first, second, lock):
            one.unlink(missing_ok=True)
