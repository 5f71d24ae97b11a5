"""Damage: whatever a library raises at a damaged file, as one line that says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpa_hier.errors import UserError
from hpa_hier.files.faults.machine import find_refusal

_LONGEST = 200  # characters of a library's reason


@contextmanager
def damage_told(path: Path, what: str = "cannot be read", cure: str = "") -> Iterator[None]:
    """Turn what a block raises, as it reads a file, into a UserError; what the machine refuses stays as it is.

    Args:
        path: of the file.
        what: is wrong, as "not a score file".
        cure: what to do; "": nothing is said.

    Raises:
        UserError: the block raised it, or anything that is no refusal of the machine.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a damaged file raises any of a dozen kinds
        if find_refusal(error) is not None and not isinstance(error, UnicodeDecodeError):
            raise
        reason = " ".join(str(error).split())[:_LONGEST] or type(error).__name__
        raise UserError(f"{path}: {what} ({reason}){cure and f'; {cure}'}") from None
