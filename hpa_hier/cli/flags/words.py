"""Words of a command line, for a command that starts itself again elsewhere."""

from __future__ import annotations

from collections.abc import Sequence


def leave_out(arguments: Sequence[str], with_value: Sequence[str], alone: Sequence[str]) -> list[str]:
    """Return the words of a command line without some of its flags.

    >>> leave_out(["--all", "--jobs", "2", "--backend=ray", "--restart"], ("--jobs", "--backend"), ("--restart",))
    ['--all']
    """
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in with_value:
            next(words, None)
        elif word not in alone and word.partition("=")[0] not in with_value:
            kept.append(word)
    return kept
