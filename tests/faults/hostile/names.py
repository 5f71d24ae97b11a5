"""Markup, formulas and control signs in ids, labels and names of nodes: inert in each table, page and line."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from faults.forked import run
from faults.tally import Tally
from faults.world import World

_MARKUP = "<img src=x onerror=alert(1)>"
_FORMULA = "=HYPERLINK(1)"
_IDS = ("=1+1", "@SUM(1)", "+cmd", "<img src=x onerror=alert(1)>", "a' onload='alert(2)", "s\u202e9")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
_NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?%?")
_NODES = {  # names of the toy taxonomy's nodes → what they become
    "markup": {"Dots": f'"{_MARKUP}"', "Outside": '"A&B \'><script>alert(2)<"', "Rings": '"a &amp b"'},
    "formulas": {"Dots": f'"{_FORMULA}"', "Rings": '"@SUM(1)"', "Blobs": '"-cmd"', "Smears": "'+x'"},
}


def try_names(world: World, scratch: Path) -> Tally:
    """Go the whole way with odd names; look at every table, page and printed line."""
    tally = Tally()
    for kind, nodes in _NODES.items():
        there = world.copy(scratch / kind)
        shutil.rmtree(there.pack)
        shutil.rmtree(there.run)
        text = there.taxonomy.read_text()
        for name, other in nodes.items():
            text = text.replace(f"{name}:", f"{other}:")
        there.taxonomy.write_text(text)
        group = "=1+1" if kind == "formulas" else "<b>x</b>"
        there.labels.write_text(there.labels.read_text().replace(",ab", f",{group}"))
        _rename_images(there)
        printed = ""
        for words in _list_commands(there):
            done = run(*words)
            printed += done.text
            tally.add(done.status in (0, 1) and not done.traceback, f"{kind}: {words[:3]}: {done.text[-400:]}")
        tally.add(_CONTROL.search(printed) is None, f"{kind}: control signs are printed")
        for path in sorted(there.home.rglob("*.csv")):
            if path not in (there.labels, there.vectors):
                bad = list(_list_formulas(path))
                tally.add(not bad, f"{kind}: {path.relative_to(there.home)} has cells that run: {bad[:3]}")
        for path in sorted(there.home.rglob("*.html")):
            page = _Page()
            page.feed(path.read_text(encoding="utf-8"))
            tally.add(not page.bad, f"{kind}: {path.relative_to(there.home)}: {page.bad[:3]}")
    return tally


def _rename_images(world: World) -> None:
    """Name new images by markup and formulas, and add some that cannot be read."""
    images, world.new = world.new, world.home / "new"
    world.new.mkdir()
    for path in sorted(images.iterdir()):
        sample, _, channel = path.name.partition("_")
        number = int(sample[1:])
        shutil.copy(path, world.new / (f"{_IDS[number]}_{channel}" if number < len(_IDS) else path.name))
    for name in _IDS:
        (world.new / f"{name}0_green.png").touch()


def _list_commands(world: World) -> Iterator[list[object]]:
    yield world.pack_words()
    for member in ("coarse", "leaf", "leaf-s1"):
        yield world.train_words(member)
    yield world.ensemble_words("fit")
    yield world.ensemble_words("evaluate")
    yield world.predict_words("--report")
    yield ["report", "--run", world.run]
    yield ["explain", world.new / f"{_IDS[4]}_green.png", "--run", world.run, "--device", "cpu"]
    yield ["data", "balance", "--pack", world.pack, "--target", 30, "--out", world.home / "balance"]
    yield ["data", "audit", "--pack", world.pack]
    yield ["taxonomy", "check", world.taxonomy, "--labels", world.labels]


def _list_formulas(path: Path) -> Iterator[str]:
    """Yield cells that a spreadsheet would run, or that hold control signs."""
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.reader(file):
            for cell in row:
                runs = cell.startswith(("=", "+", "-", "@", "\t", "\r")) and not _NUMBER.fullmatch(cell)
                if runs or _CONTROL.search(cell):
                    yield cell


class _Page(HTMLParser):
    """What of a page would run, or be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            fetched = name in ("src", "href", "xlink:href") and not (value or "").startswith(("#", "data:"))
            if name.startswith("on") or fetched or (value or "").strip().lower().startswith("javascript:"):
                self.bad.append(f"<{tag} {name}={value!r:.60}>")
        if tag == "img" and dict(attributes).get("src") == "x":
            self.bad.append("the name as an element")
