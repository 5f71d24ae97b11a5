"""Text of others as it is shown: no control character reaches the terminal, and no line is without an end."""

from __future__ import annotations

import re

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LONGEST = 1500  # characters of a line; the longest of this package's own have some 700


def show(text: str) -> str:
    r"""Return text with control characters, and what no encoding has, as escapes; line ends and tabs stay.

    >>> show("s0009\x1b[2J\ud8ff.png")
    's0009\\x1b[2J\\ud8ff.png'
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def show_error(text: str) -> str:
    """Return an error's text as it is printed: shown, and each line of a length that can be read.

    >>> len(show_error("x" * 1_000_000)) < 2000
    True
    """
    return "\n".join(_shorten(line) for line in show(text).split("\n"))


def _shorten(line: str) -> str:
    if len(line) <= _LONGEST:
        return line
    half = _LONGEST // 2
    return f"{line[:half]} … ({len(line) - 2 * half:,} characters) … {line[-half:]}"
