"""Text of others as it is shown: no control character reaches the terminal, and no line is without an end."""

from __future__ import annotations

import re
from typing import Any, TextIO, cast

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")  # that commands print themselves, and that moves and removes nothing
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


def shown_stream(stream: TextIO) -> TextIO:
    """Return a stream that shows what is printed to it, but for colours."""
    return cast(TextIO, _Shown(stream))


class _Shown:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        parts = _COLOUR.split(text)
        self._stream.write("".join(part if place % 2 else show(part) for place, part in enumerate(parts)))
        return len(text)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any of a stream's
        return getattr(self._stream, name)


def _shorten(line: str) -> str:
    if len(line) <= _LONGEST:
        return line
    half = _LONGEST // 2
    return f"{line[:half]} … ({len(line) - 2 * half:,} characters) … {line[-half:]}"
