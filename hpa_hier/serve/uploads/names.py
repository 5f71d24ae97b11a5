"""Names: where an uploaded file is put, made of what the naming rules need of its name; no name leads elsewhere."""

from __future__ import annotations

import re
import unicodedata

from hpa_hier.data.images.readers import split_suffix
from hpa_hier.data.images.walk import SIMULATED

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f:*?\"<>|]")
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # what Windows takes for a device
_JUNK = frozenset({"__macosx", "$recycle.bin", "system volume information", "@eadir"})
_DEEPEST, _LONGEST = 16, 200  # folders, and bytes of a name


class Misnamed(ValueError):  # noqa: N818  (a state of a name)
    """A name under which nothing can be kept, and why."""


def find_place(shown: str) -> tuple[str, ...] | None:
    r"""Return the folders and the name under which an upload is kept; None: it is no image and is left aside.

    Folders stay, since they tell samples and channels apart; `..`, drives, and a leading slash go. Signs that a file's
    name cannot have become `_`.

    Raises:
        Misnamed: it is too long, too deep, or empty.

    >>> find_place("plate 1/A01_green.png"), find_place("../../etc/a.tif"), find_place("C:\\data\\b.png")
    (('plate 1', 'A01_green.png'), ('etc', 'a.tif'), ('data', 'b.png'))
    >>> find_place("notes.txt"), find_place("plate/.DS_Store"), find_place("nul.png")
    (None, None, ('_nul.png',))
    """
    parts = [part for part in re.split(r"[/\\]+", unicodedata.normalize("NFC", shown)) if part not in ("", ".", "..")]
    if parts and re.fullmatch(r"[A-Za-z]:", parts[0]):
        parts = parts[1:]
    parts = [clean for part in parts if (clean := _clean(part))]
    if not parts:
        raise Misnamed("a file without a name; name it <id>_green.png, or as it is")
    if len(parts) > _DEEPEST + 1:
        raise Misnamed(f"{len(parts) - 1} folders deep; at most {_DEEPEST} are kept")
    longest = max(parts, key=lambda part: len(part.encode()))
    if len(longest.encode()) > _LONGEST:
        raise Misnamed(f"a name of {len(longest.encode())} bytes; at most {_LONGEST} are kept: rename it")
    *folders, name = parts
    if any(folder.lower().endswith(".zarr") for folder in folders):
        return tuple(parts)
    hidden = any(part.startswith(".") or part.lower() in _JUNK for part in parts)
    return tuple(parts) if not hidden and (split_suffix(name)[1] or name == SIMULATED) else None


def _clean(part: str) -> str:
    plain = "".join("_" if unicodedata.category(sign)[0] == "C" else sign for sign in _FORBIDDEN.sub("_", part))
    plain = plain.strip().rstrip(". ")
    return f"_{plain}" if _DEVICE.match(plain) else plain
