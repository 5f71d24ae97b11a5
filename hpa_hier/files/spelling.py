"""The known word that a misspelt one was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"``, an error's end, for the known word most like `word`; nothing where none is.

    >>> did_you_mean("epoch", ["epochs", "loss"])
    "; did you mean 'epochs'?"
    """
    spelled = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold()[:100], spelled, n=1, cutoff=0.6)
    return f"; did you mean '{spelled[close[0]]}'?" if close else ""
