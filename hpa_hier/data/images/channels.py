"""Channel names: what a file name or a TIFF's metadata says about which channel is where."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hpa_hier.data.images.names.assign import assign_channels
from hpa_hier.data.images.names.stains import normalise
from hpa_hier.errors import UserError

CHANNELS = ("red", "green", "blue", "yellow")
STAINS = {"red": "microtubules", "green": "protein", "blue": "nucleus", "yellow": "endoplasmic reticulum"}
PROTEIN = "green"  # what an answer is about, so it is never filled with zeros
COMPOSITE = re.compile(r"(?P<id>.+)_blue_red_green(_yellow)?", re.IGNORECASE)  # the atlas's coloured overlays
_OWN_NAMES = {channel: channel for channel in CHANNELS}


@dataclass(frozen=True)
class ChannelHint:
    """What the user said about channels."""

    order: tuple[str | None, ...] = ()  # channel of each plane in a file of several; None: a plane to leave out
    names: Mapping[str, str] = field(default_factory=dict)  # name in lower case → channel


def check_may_be_missing(channels: Sequence[str]) -> None:
    """Refuse to do without the protein: an answer is about where it is.

    Raises:
        UserError: the protein's channel is among the channels that an image may lack.
    """
    if PROTEIN in channels:
        raise UserError(
            f"{PROTEIN} is the protein in question: an image without it cannot be answered for; leave it out"
        )


def cure_missing(channels: Sequence[str], names: Sequence[str] = ()) -> str:
    """Say what to do about channels that an image lacks.

    Args:
        channels: that it lacks and may not lack.
        names: that its files have and nobody knows.

    >>> cure_missing(["red", "yellow"])
    '--may-be-missing red,yellow fills missing channels with zeros'
    """
    known = f"the files also have {', '.join(names)}; " if names else ""
    if PROTEIN in channels:
        name = names[0] if names else "GFP"
        cure = f"name it, as in --channels {PROTEIN}={name}"
        return f"{known}{PROTEIN} is the protein and is never filled with zeros; {cure}"
    name = f", --channels {channels[0]}={shlex.quote(names[0])} names one" if names else ""
    return f"{known}--may-be-missing {','.join(channels)} fills missing channels with zeros{name}"


def parse_hint(text: str | None) -> ChannelHint:
    """Read what `--channels` says: the order of planes, or the user's own names.

    >>> parse_hint("blue,-,green,red").order
    ('blue', None, 'green', 'red')
    >>> parse_hint("red=tubulin,green=GFP").names
    {'tubulin': 'red', 'gfp': 'green'}

    Raises:
        UserError: the text is neither, names an unknown channel, or a channel twice.
    """
    if text is None:
        return ChannelHint()
    parts = [part.strip() for part in text.split(",")]
    named = [part.partition("=") for part in parts if "=" in part]
    if named and len(named) != len(parts):
        both = "either an order (red,green,blue) or names (red=tubulin,green=gfp), not both"
        raise UserError(f"--channels {text}: {both}")
    named_channels = [channel.strip() for channel, _, _ in named] or [part for part in parts if part != "-"]
    for channel in named_channels:
        if channel not in CHANNELS:
            raise UserError(f"--channels {text}: {channel!r} is no channel; the channels are {', '.join(CHANNELS)}")
        if named_channels.count(channel) > 1:
            raise UserError(f"--channels {text}: {channel} appears twice")
    if not named:
        return ChannelHint(order=tuple(None if part == "-" else part for part in parts))
    names = [normalise(name) for _, _, name in named]
    if not all(names):
        raise UserError(f"--channels {text}: a name is missing after =")
    twice = next((name.strip() for (_, _, name), key in zip(named, names, strict=True) if names.count(key) > 1), None)
    if twice:
        raise UserError(f"--channels {text}: {twice} is given to two channels")
    return ChannelHint(names={name.strip().lower(): channel.strip() for channel, _, name in named})


def split_name(stem: str, hint: ChannelHint) -> tuple[str, str | None]:
    """Split a file name without suffix into sample id and channel; the channel is None where the name has none.

    >>> split_name("800_A6_1_green", ChannelHint())
    ('800_A6_1', 'green')
    """
    composite = COMPOSITE.fullmatch(stem)
    if composite:
        return composite["id"], None
    names = {**_OWN_NAMES, **hint.names}
    for name in sorted(names, key=len, reverse=True):
        head, mark = stem[: -len(name) - 1], stem[-len(name) - 1 : -len(name)]
        if head and mark in ("_", "-", ".") and stem[-len(name) :].lower() == name:
            return head, names[name]
    return stem, None


def find_channel(name: str, hint: ChannelHint) -> str | None:
    """Return the channel that a name means: one that the user gave, or a stain that can be no other; else None.

    >>> find_channel("Alexa Fluor 488", ChannelHint()), find_channel("Cy3", ChannelHint(names={"cy3": "red"}))
    ('green', 'red')
    """
    return assign_channels([name], hint.names).channels[0]
