"""Limits: numbers that can be set when the server starts."""

from __future__ import annotations

import pytest

from hpa_hier.errors import UserError
from hpa_hier.serve.safety.limits import Limits


def test_bytes_may_have_a_letter_and_others_not() -> None:
    assert Limits.parse(["file_bytes=3M", " files = 7"]) == Limits(file_bytes=3 << 20, files=7)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("files=1k", "must be a whole number from 1, got '1k'"),
        ("files=0", "must be a whole number from 1, got '0'"),
        ("file_byte=3", "no limit is called 'file_byte'; did you mean 'file_bytes'"),
        ("files", "no limit is called 'files'"),
        ("jobs=-3", "must be a whole number"),
    ],
)
def test_what_is_no_limit_is_told(text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        Limits.parse([text])
