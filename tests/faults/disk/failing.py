"""System calls that fail: in a process into which `failing.c` is preloaded, else one call of Python's."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from faults.disk.kills import CASES, Case
from faults.forked import Outcome, run
from faults.tally import Tally
from faults.world import World, list_temporary, snapshot

KINDS = {  # as failing.c numbers them, each with the errors that it is made to fail with
    "write": (1, (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS)),
    "fsync": (2, (errno.EIO, errno.ENOSPC)),
    "open to write": (4, (errno.EIO, errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EMFILE, errno.ENOMEM)),
    "rename": (8, (errno.EIO, errno.ENOSPC, errno.EACCES)),
    "unlink": (16, (errno.EIO, errno.EACCES)),
    "mkdir": (32, (errno.EIO, errno.ENOSPC, errno.EACCES)),
    "read": (64, (errno.EIO, errno.ESTALE)),
    "open to read": (128, (errno.EIO, errno.EACCES, errno.EMFILE, errno.ENOMEM)),
    "allocate": (256, (errno.ENOSPC, errno.EIO)),
    "list": (512, (errno.EIO, errno.EACCES)),
    "lock": (1024, (errno.ENOLCK, errno.EIO)),
}


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


def arm(shim: ctypes.CDLL, root: Path, kind: str, number: int, error: int, count: mmap.mmap) -> Callable[[], None]:
    """Return what makes calls of a kind below `root` fail in this process, from the `number`-th on; each is counted."""
    address = ctypes.c_void_p(ctypes.addressof(ctypes.c_int.from_buffer(count)))
    return lambda: shim.fail_from(str(root).encode(), KINDS[kind][0], number, error, address)


def fail_python(name: str, error: int) -> Callable[[], None]:
    """Return what makes a function of the module os fail in this process."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    return lambda: setattr(os, name, fail)


def try_failures(world: World, scratch: Path, library: Path, names: Sequence[str], most: int) -> Tally:
    """Have each kind of call fail in each command, early and later.

    Either the command ends in one line, and run again does what it always does; or it goes on without that call, and
    its result is right. This process must have the shim preloaded.

    Args:
        names: of the cases.
        most: tries of each command.
    """
    shim, tally, home = ctypes.CDLL(str(library)), Tally(), scratch / "world"
    for case in (case for case in CASES if case.name in names):
        wanted = _undisturbed(world, case, home)
        plans = [(kind, number, error) for number in (1, 2, 5, 9) for kind in KINDS for error in KINDS[kind][1]]
        tried, none_from = 0, dict[str, int]()  # a kind → the number of the first call of it that there is not
        for place, (kind, number, error) in enumerate(plans):
            if tried >= most:
                break
            if (most < 60 and place % (60 // most + 1)) or number >= none_from.get(kind, sys.maxsize):
                continue
            found = _try_one(world, case, home, shim, wanted, (kind, number, error))
            if found is None:
                none_from[kind] = number
            else:
                tried += 1
                what = f"{case.name}: {kind} {number} fails with {errno.errorcode[error]}"
                tally.add(found == "", f"{what}: {found}")
    return tally


def _try_one(
    world: World, case: Case, home: Path, shim: ctypes.CDLL, wanted: dict[str, str], plan: tuple[str, int, int]
) -> str | None:
    """Return what went otherwise, "" where nothing did, and None where there was no such call."""
    there = world.copy(home)
    case.prepare(there)
    with mmap.mmap(-1, mmap.PAGESIZE) as count:
        armed = arm(shim, home, *plan, count)
        failed = run(*case.words(there), before=armed)
        calls = int.from_bytes(count[:4], sys.byteorder)
        del armed
    if not calls:
        return None
    if failed.status in (0, 1) and not failed.traceback:  # it went on without
        left = [] if plan[0] == "unlink" else list_temporary(home)
        other = _differ(snapshot(home), wanted)
        return f"went on with another result: {other}, left {left[:2]}" if other or left else ""
    if not (failed.refused or (case.name == "train --together" and _refused_by_each(failed))):
        return f"status {failed.status}: {failed.text[-400:]}"
    again = run(*case.words(there))
    other, left = _differ(snapshot(home), wanted), list_temporary(home)
    if again.status not in (0, 1) or other or left:
        return f"then status {again.status}: {again.last}, other {other}, left {left[:2]}"
    return ""


def _refused_by_each(outcome: Outcome) -> bool:
    """Tell whether members that train together say, a line each, what the machine refused them."""
    told = re.findall(r"^[\w-]+: error: .+; .+$", outcome.text, re.MULTILINE)
    return outcome.status == 2 and bool(told) and not outcome.traceback


def _differ(found: dict[str, str], wanted: dict[str, str]) -> list[str]:
    return sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))[:4]


def _undisturbed(world: World, case: Case, home: Path) -> dict[str, str]:
    there = world.copy(home)
    case.prepare(there)
    done = run(*case.words(there))
    assert done.status in (0, 1), done.text
    return snapshot(home)
