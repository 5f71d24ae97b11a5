"""Figures of the fault suite: a file of `figures/` for each trial, and the table that is made of them."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path

from faults.tally import Tally

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "figures"
PAGE = HERE.parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- figures: made by `python tests/faults/figures.py` -->", "<!-- end of figures -->"
SIZE = float(os.environ.get("FAULTS_SIZE", "1"))  # of all trials, against the full size


def scale(full: int) -> int:
    """Return how many tries are made of `full` at this size.

    >>> scale(100)
    100
    """
    return max(1, round(full * SIZE))


def keep(name: str, promise: str, tally: Tally, test: str, what: str = "") -> None:
    """Keep what came of a trial, and fail where a try went otherwise than promised.

    Args:
        name: the file it is kept in, such as `R01-data-pack`; it takes the place of an earlier one.
        promise: what holds, with its number first: `R1 a command is killed: …`; trials of one promise are one row.
        tally: its tries.
        test: the name of the test, which `make test-faults TEST=` picks.
        what: what was tried, where a promise has several trials.
    """
    size = "" if SIZE == 1 else f"FAULTS_SIZE={SIZE:g} "
    facts = {
        "promise": promise,
        "what": what,
        "tries": tally.tries,
        "failures": len(tally.failures),
        "first": tally.failures[:12],
        "command": f"{size}make test-faults TEST={test}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    text = json.dumps(facts, indent=1, ensure_ascii=False, sort_keys=True)
    (FIGURES / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    assert tally.tries, f"{name}: nothing was tried"
    assert tally.failures == []


def make_table() -> str:
    """Return the figures as a Markdown table: a row for each promise and command."""
    promises: dict[tuple[str, str], list[dict[str, str | int]]] = {}
    for path in sorted(FIGURES.glob("*.json")):
        one = json.loads(path.read_text(encoding="utf-8"))
        promises.setdefault((one["promise"], one["command"]), []).append(one)
    rows = ["| promise | tries | failures | command | date |", "| --- | --- | --- | --- | --- |"]
    for (promise, command), trials in sorted(promises.items(), key=lambda item: (_number(item[0][0]), item[0])):
        parts = ", ".join(f"{one['what']} {one['tries']:,}" for one in trials if one["what"])
        tries, failures = (sum(int(one[key]) for one in trials) for key in ("tries", "failures"))
        said = f"{promise} ({parts})" if parts and len(trials) > 1 else promise
        date = max(str(one["date"]) for one in trials)
        rows.append(f"| {said} | {tries:,} | {failures:,} | `{command}` | {date} |")
    return "\n".join(rows)


def _number(promise: str) -> int:
    return int(promise.split()[0].removeprefix("R"))


def write_page() -> None:
    """Put the table into the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    PAGE.write_text(f"{before}\n\n{make_table()}\n\n{after}", encoding="utf-8")


if __name__ == "__main__":
    write_page()
