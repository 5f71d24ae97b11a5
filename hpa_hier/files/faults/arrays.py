"""Arrays in .npz files, read without running or believing anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.files.faults.machine import find_refusal


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
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored.items())
    except Exception as error:  # a damaged file raises any of a dozen kinds
        if find_refusal(error) is not None:
            raise
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(f"{path}: not {what} ({reason}); {cure}") from None
