"""Section: a part of a page, and a page of such parts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """A part of a page with a title of its own."""

    anchor: str  # its place in the page's address, and that of the figures that belong to it
    title: str
    template: str  # of its text, in templates/; there it is `section`, and what it shows is `data`
    data: object
    short: str = ""  # title in the navigation; "": the same


@dataclass(frozen=True)
class Page:
    """A whole page."""

    heading: str  # such as "Where in the cell: run"
    name: str  # of what it is about
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()  # what to know before reading; said once
    channels: tuple[str, ...] = ()  # of the images shown, which can be switched
    footer: str = ""
