"""System calls that fail: in a process into which `failing.c` is preloaded, else one call of Python's."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from faults.disk.kills import CASES, Case
from faults.forked import run
from faults.tally import Tally
from faults.world import World, list_temporary, snapshot

KINDS = {"write": 1, "fsync": 2, "open": 4, "rename": 8, "mkdir": 32, "read": 64}
ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EMFILE, errno.ENOMEM)


def build_shim(folder: Path) -> Path | None:
    """Compile what is preloaded; None where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        return None
    library = folder / "failing.so"
    source = Path(__file__).with_suffix(".c")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True, capture_output=True
    )
    return library


def arm(shim: ctypes.CDLL, root: Path, kind: str, number: int, error: int) -> Callable[[], None]:
    """Return what makes all calls of a kind below `root` fail in this process, from the `number`-th on."""
    return lambda: shim.fail_from(str(root).encode(), KINDS[kind], number, error)


def fail_python(name: str, error: int) -> Callable[[], None]:
    """Return what makes a function of the module os fail in this process."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    return lambda: setattr(os, name, fail)


def try_failures(world: World, scratch: Path, library: Path, names: Sequence[str] = (), most: int = 1000) -> Tally:
    """Have each kind of call fail in each command, which then ends in one line; run again, it does what it always does.

    This process must have the shim preloaded, and `most` bounds the tries of each command.
    """
    shim, tally, home = ctypes.CDLL(str(library)), Tally(), scratch / "world"
    for case in CASES:
        if names and case.name not in names:
            continue
        wanted = _undisturbed(world, case, home)
        tried = 0
        for kind in KINDS:
            for place, error in enumerate(ERRORS if kind in ("write", "open") else ERRORS[:3]):
                for number in (1, 2 + place):
                    if tried >= most:
                        break
                    there = world.copy(home)
                    case.prepare(there)
                    failed = run(*case.words(there), before=arm(shim, home, kind, number, error))
                    if failed.status in (0, 1) and not failed.traceback:
                        continue  # there was no such call
                    tried += 1
                    what = f"{case.name}: {kind} {number} fails with {errno.errorcode[error]}"
                    if not failed.refused:
                        tally.add(False, f"{what}: status {failed.status}: {failed.text[-400:]}")
                        continue
                    again = run(*case.words(there))
                    right = again.status in (0, 1) and snapshot(home) == wanted and not list_temporary(home)
                    tally.add(right, f"{what}, then status {again.status}: {again.last}")
    return tally


def _undisturbed(world: World, case: Case, home: Path) -> dict[str, str]:
    there = world.copy(home)
    case.prepare(there)
    done = run(*case.words(there))
    assert done.status in (0, 1), done.text
    return snapshot(home)
