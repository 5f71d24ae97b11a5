"""Figures of the fault suite, kept in figures.json, and the table of docs/reliability.md that is made of them."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

from faults.tally import Tally

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "figures.json"
PAGE = HERE.parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- figures: made by `python tests/faults/figures.py` -->", "<!-- end of figures -->"


def keep(promise: str, tally: Tally, command: str) -> None:
    """Keep what came of a trial, in place of an earlier one of the same promise."""
    known = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    known[promise] = {
        "tries": tally.tries,
        "failures": len(tally.failures),
        "first": tally.failures[:12],
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    FIGURES.write_text(json.dumps(known, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def make_table() -> str:
    """Return the figures as a Markdown table."""
    known = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    rows = ["| promise | tries | failures | command | date |", "| --- | --- | --- | --- | --- |"]
    for promise, one in sorted(known.items()):
        cells = (promise, f"{one['tries']:,}", str(one["failures"]), f"`{one['command']}`", one["date"])
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def write_page() -> None:
    """Put the table into the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    PAGE.write_text(f"{before}\n\n{make_table()}\n\n{after}", encoding="utf-8")


if __name__ == "__main__":
    write_page()
