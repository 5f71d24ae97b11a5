"""Assign: which of a sample's stains is which channel; what several could be is asked, never guessed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hpa_hier.data.images.names.stains import Stain, combine_stains, find_stains, normalise, read_number, split_words

MEANING = {"red": "microtubules", "green": "the protein", "blue": "the nucleus", "yellow": "the endoplasmic reticulum"}
_FILLED = ("blue", "green", "red", "yellow")  # the order in which microscopes usually take them


class Assignment(NamedTuple):
    """What the names of a sample's planes mean."""

    channels: tuple[str | None, ...]  # one a name; None: left out
    question: str | None = None  # what only the user can say; None: all is clear


def assign_channels(names: Sequence[str], wanted: Mapping[str, str]) -> Assignment:
    """Find the channel of each of the names that a sample's planes have.

    Names that the user gives are taken as given, and what they leave open is left out. Without them, a stain that may
    be several channels, or two for one channel, is a question. Names that nobody knows are left out.

    Args:
        names: of the planes, all different.
        wanted: the user's names → channels.

    >>> assign_channels(["GFP", "Hoechst 33342", "brightfield"], {}).channels
    ('green', 'blue', None)
    >>> assign_channels(["DAPI", "Cy3"], {}).question
    'Cy3 may be microtubules, the protein or the endoplasmic reticulum; say which, as in --channels green=Cy3,blue=DAPI'
    """
    stains = read_stains(names)
    given = _given(names, wanted)
    taken = {channel for channel in given if channel}
    known = [stain.channels[0] if stain and len(stain.channels) == 1 else None for stain in stains]
    channels = [g or (k if k not in taken else None) for g, k in zip(given, known, strict=True)]
    return Assignment(tuple(channels), _ask(names, stains, channels, ambiguous=not wanted))


def _given(names: Sequence[str], wanted: Mapping[str, str]) -> list[str | None]:
    """Return the channels that the user gave names; where one fits several names, the one that is spelt so."""
    given = [find_given(name, wanted) for name in names]
    spelt = {normalise(one) for one in wanted}
    for channel in set(given) - {None}:
        rivals = [i for i, one in enumerate(given) if one == channel]
        exact = [i for i in rivals if normalise(names[i]) in spelt]
        if len(rivals) > 1 and len(exact) == 1:
            given = [None if i in rivals and i not in exact else one for i, one in enumerate(given)]
    return given


def read_stains(names: Sequence[str]) -> list[Stain | None]:
    """Read what each of the names of one sample's planes says; stains that all of them name say nothing.

    >>> [stain and stain.channels for stain in read_stains(["GFP-exp DAPI", "GFP-exp FITC"])]
    [('blue',), ('green',)]
    """
    found = [_spelt_stains(name) for name in names]
    common = set.intersection(*map(set, found)) if len(found) > 1 else set()
    return [combine_stains(stain for spelt, stain in one.items() if spelt not in common) for one in found]


def _spelt_stains(name: str) -> dict[str, Stain]:
    """Return the stains in a name, by how they are spelt."""
    words = [word.text for word in split_words(name)]
    return {"".join(words[one.first : one.last + 1]): one.stain for one in find_stains(words)}


def find_given(name: str, wanted: Mapping[str, str]) -> str | None:
    """Return the channel that the user gave a name, in any spelling of it, or of words in it.

    >>> find_given("w2GFP", {"gfp": "green"}), find_given("Alexa Fluor 488", {"AlexaFluor488": "green"})
    ('green', 'green')
    """
    sought = {normalise(one): channel for one, channel in wanted.items()}
    if normalise(name) in sought:
        return sought[normalise(name)]
    words = [word.text for word in split_words(name)]
    runs = (
        words[i:j] for length in range(len(words), 0, -1) for i in range(len(words) - length + 1) for j in [i + length]
    )
    return next((sought[key] for run in runs if (key := normalise("".join(run))) in sought), None)


def _ask(
    names: Sequence[str], stains: Sequence[Stain | None], channels: Sequence[str | None], *, ambiguous: bool
) -> str | None:
    """Return the question that names leave open; what several channels could be is one where `ambiguous` says so."""
    cure = f"say which, as in {propose_names(names)}"
    for channel in MEANING:
        rivals = [name for name, one in zip(names, channels, strict=True) if one == channel]
        if len(rivals) > 1:
            return f"{_list(rivals)} would {'both' if len(rivals) == 2 else 'all'} be {MEANING[channel]}; {cure}"
    if not ambiguous:
        return None
    unclear = [(name, one.channels) for name, one in zip(names, stains, strict=True) if one and len(one.channels) > 1]
    if unclear:
        may_be = [MEANING[c] for c in MEANING if any(c in could for _, could in unclear)]
        return f"{_list([name for name, _ in unclear])} may be {_list(may_be, 'or')}; {cure}"
    unknown = [name for name, one in zip(names, stains, strict=True) if one is None]
    if unknown and "green" not in channels:
        if all(map(is_numbered, unknown)):
            return f"{_list(unknown)} {'is' if len(unknown) == 1 else 'are'} only numbered; {cure}"
        return f"none of {', '.join(names)} is known as the protein; {cure}"
    return None


def propose_names(names: Sequence[str]) -> str:
    """Return a flag that names the planes: known ones as they are, the others as they might be.

    >>> propose_names(["DAPI", "Texas Red", "GFP"])
    "--channels 'red=Texas Red,green=GFP,blue=DAPI'"
    """
    stains = read_stains(names)
    chosen: dict[str, str] = {}
    for name, stain in zip(names, stains, strict=True):
        if stain and len(stain.channels) == 1:
            chosen.setdefault(stain.channels[0], name)
    unclear = [(stain.wave, i) for i, stain in enumerate(stains) if stain and len(stain.channels) > 1]
    for _, i in sorted(unclear):
        stain = stains[i]
        free = [channel for channel in stain.channels if channel not in chosen] if stain else []
        if free:
            chosen[free[0]] = names[i]
    unknown = [name for name, stain in zip(names, stains, strict=True) if stain is None]
    order = _FILLED if len(unknown) > 1 else ("green", *_FILLED)
    for name, channel in zip(unknown, dict.fromkeys(c for c in order if c not in chosen), strict=False):
        chosen[channel] = name
    pairs = (f"{channel}={_typed(chosen[channel])}" for channel in MEANING if channel in chosen)
    return f"--channels {shlex.quote(','.join(pairs))}"


def propose_order(count: int) -> str:
    """Return a flag that orders planes without names.

    >>> propose_order(2), propose_order(5)
    ('--channels green,blue', '--channels red,green,blue,yellow,-')
    """
    order = {1: ["green"], 2: ["green", "blue"]}.get(count, [*MEANING][:count] + ["-"] * (count - len(MEANING)))
    return f"--channels {','.join(order)}"


def describe_names(meanings: Mapping[str, str | None]) -> str:
    """Say what names were taken for; "" where there is nothing to say.

    >>> describe_names({"GFP": "green", "DAPI": "blue", "BF": None})
    'GFP was taken for green (the protein), DAPI for blue (the nucleus); BF was left out'
    """
    taken = [f"{name} for {c} ({MEANING[c]})" for name, c in meanings.items() if c and name.lower() != c]
    left_out = [name for name, channel in meanings.items() if channel is None]
    parts = (
        ", ".join(taken).replace(" for ", " was taken for ", 1),
        f"{_list(left_out)} {'was' if len(left_out) == 1 else 'were'} left out" if left_out else "",
    )
    return "; ".join(part for part in parts if part)


def is_numbered(name: str) -> bool:
    """Tell whether a name has nothing but numbers.

    >>> is_numbered("Channel:0:1"), is_numbered("c:1/3"), is_numbered("GFP")
    (True, True, False)
    """
    words = [word.text for word in split_words(name)]
    return all(word.isdigit() or read_number(word) or word in ("channel", "ch", "c", "track") for word in words)


def _typed(name: str) -> str:
    """Return a name as it can be typed in a list; what separates names is left out, as in comparing them."""
    return re.sub(r"[,=\s]+", " ", name).strip()


def _list(names: Sequence[str], last: str = "and") -> str:
    return f" {last} ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
