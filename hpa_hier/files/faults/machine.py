"""What a machine refuses (no room, no right, a broken disk), as one line that says what helps."""

from __future__ import annotations

import errno
import os

_OTHER_PLACE = "ask for the right to it, or name another place"
_ROOM = "make room on the disk; what was finished is kept"
_BROKEN = "the disk or the network share fails; check it, and run this again (what was finished is kept)"
_HANDLES = "too many files are open; raise the limit (`ulimit -n 4096`), or run fewer things at once"
_NAMES: dict[str, str] = {
    **dict.fromkeys(("EACCES", "EPERM"), _OTHER_PLACE),
    "EROFS": "name a place that can be written to",
    **dict.fromkeys(("EEXIST", "ENOTDIR"), "a file is in the way of a folder; move it, or name another place"),
    "EISDIR": "a folder is in the way of a file; move it, or name another place",
    "ENOTEMPTY": "files are in the way; move them, or name another place",
    "ENAMETOOLONG": "name a shorter path",
    "ELOOP": "a link is in the way, or links lead in a circle; remove it",
    "ENOSPC": _ROOM,
    "EDQUOT": "make room in your quota; what was finished is kept",
    "EFBIG": "larger than a file may be here (`ulimit -f`, or the file system); name another place",
    **dict.fromkeys(("EIO", "EREMOTEIO", "ESTALE", "ENXIO", "ENODEV", "ENOTCONN", "EHOSTDOWN", "ETIMEDOUT"), _BROKEN),
    **dict.fromkeys(("EMFILE", "ENFILE"), _HANDLES),
    "ENOMEM": "free some memory, or take fewer things at once",
    **dict.fromkeys(("EBUSY", "ETXTBSY"), "something else uses it; wait for it, and run this again"),
    "ENOLCK": "the file system has no locks left, or has none; name a place on another one",
    **dict.fromkeys(
        ("EXDEV", "EMLINK", "EOPNOTSUPP", "ENOTSUP", "ENOSYS"),
        "the file system cannot do this; name a place on another one",
    ),
}
# What the system may refuse for a reason that lies with the machine and not in this program → what helps.
_CURES = {getattr(errno, name): cure for name, cure in _NAMES.items() if hasattr(errno, name)}


def describe_refusal(error: BaseException) -> str | None:
    """Return one line on what the machine refused, and what helps; None where the error is no such thing.

    A library's RuntimeError that was raised while the machine refused something, as torch does on a full disk, is one.

    >>> describe_refusal(OSError(errno.ENOSPC, "No space left on device", "pack/images-00000.npy"))
    'pack/images-00000.npy: No space left on device; make room on the disk; what was finished is kept'
    """
    refused = find_refusal(error)
    if refused is None:
        if not isinstance(error, MemoryError):
            return None
        return f"memory: {error or 'the machine has none left'}; close other programs, or take fewer things at once"
    place = refused.filename2 or refused.filename
    place = os.fsdecode(place) if isinstance(place, (str, bytes)) else "output"
    return f"{place}: {refused.strerror}; {_CURES[refused.errno or 0]}"


def find_refusal(error: BaseException | None) -> OSError | None:
    """Return the machine's refusal that an error is, or that a library's RuntimeError came from; else None.

    What this package raises while it handles a refusal is a bug, unless it is raised `from` it.
    """
    if isinstance(error, OSError):
        return error if error.errno in _CURES else None
    if not isinstance(error, RuntimeError) or isinstance(error, (NotImplementedError, RecursionError)):
        return None
    if error.__cause__ is not None or error.__suppress_context__:
        return find_refusal(error.__cause__)
    return None if _is_handled_here(error.__context__) else find_refusal(error.__context__)


def _is_handled_here(error: BaseException | None) -> bool:
    """Tell whether an error was caught by this package, and not within a library."""
    if error is None or error.__traceback__ is None:
        return False
    catcher = error.__traceback__.tb_frame  # a traceback begins where its error was caught
    return str(catcher.f_globals.get("__name__")).partition(".")[0] == "hpa_hier"
