"""Arrays in .npz files, read without running or believing anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.files.faults.damage import damage_told

_SMALL = 256 << 20  # bytes, which any file may unpack to
_MOST_PACKED = 200  # bytes that a byte of a larger one unpacks to; numbers that were measured give some ten


def check_unpacked(path: Path, unpacked: int) -> None:
    """Refuse a file that says that it holds out of all proportion to its size.

    Args:
        path: of the file.
        unpacked: bytes that it would take in memory.

    Raises:
        UserError: more than 256 MB, and more than 200 times its size.
    """
    size = path.stat().st_size
    if unpacked > _SMALL + _MOST_PACKED * size:
        claim = f"claims {unpacked >> 20:,} MB of numbers and texts in {size:,} bytes, which cannot hold them"
        raise UserError(f"{path}: {claim}; is it the right file?")


def unpack_npz(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Read all arrays of an .npz file, each against the checksum that the file has of it.

    Raises:
        UserError: it claims out of all proportion to its size.
        Exception: of a dozen kinds, where it is damaged.
    """
    with np.load(path, allow_pickle=False) as stored:
        check_unpacked(path, sum(one.file_size for one in stored.zip.infolist()))
        return dict(stored.items())


def read_npz(path: Path, what: str, cure: str) -> dict[str, np.ndarray[Any, Any]]:
    """Read all arrays of an .npz file, each against the checksum that the file has of it.

    Args:
        path: the file.
        what: it should be, as "a score file".
        cure: what to do where it is not.

    Raises:
        UserError: it is absent, or damaged in any way.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; {cure}")
    with damage_told(path, f"not {what}", cure):
        return unpack_npz(path)
