"""Damage is one line; what the machine refuses, and what was said already, stays as it is."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from hpa_hier.errors import UserError
from hpa_hier.files.faults.damage import damage_told

FILE = Path("a.npz")


@pytest.mark.parametrize(
    "error", [KeyError("x\ny"), EOFError(), OSError("not a file of it"), RecursionError("x" * 999)]
)
def test_whatever_a_library_raises_is_one_line_with_what_to_do(error: Exception) -> None:
    with pytest.raises(UserError, match=r"^a\.npz: not a table \(.+\); write it again$") as caught, _damage():
        raise error
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), UserError("b: said"), SystemExit(1)]
)
def test_a_refusal_of_the_machine_and_a_line_of_ours_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, _damage():
        raise error
    assert caught.value is error


def _damage():
    return damage_told(FILE, "not a table", "write it again")
