"""Comparison: the page of two runs beside each other, their differences first in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpa_hier.evaluate import describe
from hpa_hier.evaluate.against import Against, Agreement, Pair, compare_runs
from hpa_hier.evaluate.report.frame import render_page
from hpa_hier.evaluate.report.leaderboard import Cost, total_cost
from hpa_hier.evaluate.report.opening import name_words
from hpa_hier.evaluate.report.section import Page, Section
from hpa_hier.files.atomic import write_text
from hpa_hier.files.faults.leftovers import sweep
from hpa_hier.runs.run import Run

_CLEAR = ("better", "worse")


@dataclass(frozen=True)
class Differing:
    """A setting, or a fact, that differs between two runs."""

    name: str
    ours: str
    theirs: str


@dataclass(frozen=True)
class Comparison:
    """What the sections show."""

    against: Against
    ours: str  # names of the runs
    theirs: str
    sentences: tuple[str, ...]
    top: tuple[tuple[str, Pair], ...]  # what is right, and of how many of 100
    agreement: tuple[tuple[str, Agreement], ...]  # by level, in a reader's words
    costs: tuple[Cost, Cost]
    differing: tuple[Differing, ...]
    percent: str  # of the intervals


def write_comparison(ours: Run, theirs: Run) -> tuple[Path, Comparison]:
    """Write report/against-NAME.html into our run's folder, with the other one's name.

    Args:
        ours: evaluated; its recipe has the intervals' level.
        theirs: evaluated.

    Returns:
        The path of the page, and what it shows.

    Raises:
        UserError: one is not evaluated, or their trees have other nodes.
    """
    comparison = describe_comparison(ours, theirs)
    path = ours.folder / "report" / f"against-{theirs.folder.resolve().name}.html"
    sweep(path.parent, path.stem)  # of a killed process that wrote the same
    write_text(path, render_comparison(comparison, describe_notes(ours, theirs)))
    return path, comparison


def describe_comparison(ours: Run, theirs: Run) -> Comparison:
    """Compare two runs, and say in words what came out."""
    against = compare_runs(ours, theirs, ours.recipe.report.interval)
    names = _tell_apart(ours, theirs)
    words = [*(f"the right {name_words(level)}" for level in ours.evaluation.taxonomy.levels), "all labels right"]
    top = tuple(zip(words, against.top, strict=True))
    return Comparison(
        against=against,
        ours=names[0],
        theirs=names[1],
        sentences=(against.pairing.words, *_describe(against, top, names)),
        top=top,
        agreement=tuple((name_words(one.level), one) for one in against.agreement),
        costs=(_cost(ours), _cost(theirs)),
        differing=tuple(_list_differing(ours, theirs)),
        percent=f"{100 * against.level:g}",
    )


def describe_notes(ours: Run, theirs: Run) -> tuple[str, ...]:
    """Say what to know before reading."""
    simulated = [run.evaluation.facts.simulated for run in (ours, theirs)]
    if all(simulated):
        return ("Simulated cells: none of this is evidence about real ones.",)
    if any(simulated):
        return ("One of the two was measured on simulated cells, the other on real images: they cannot be compared.",)
    return ()


def render_comparison(comparison: Comparison, notes: tuple[str, ...] = ()) -> str:
    """Write the page of a comparison."""
    sections = (
        Section("answer", "In short", "against_opening.html.j2", comparison),
        Section("classes", "Class by class", "against_classes.html.j2", comparison),
        Section("metrics", "All metrics", "against_metrics.html.j2", comparison),
        Section("settings", "What differs between the runs", "against_settings.html.j2", comparison, "Settings"),
    )
    return render_page(
        Page(
            heading="Two runs:",
            name=f"{comparison.ours} against {comparison.theirs}",
            sections=sections,
            notes=notes,
            footer=comparison.against.pairing.words,
        )
    )


def _tell_apart(ours: Run, theirs: Run) -> tuple[str, str]:
    """Call runs by the names of their folders, or where these are the same by their paths."""
    names = (ours.folder.resolve().name, theirs.folder.resolve().name)
    return names if names[0] != names[1] else (str(ours.folder), str(theirs.folder))


def _describe(against: Against, top: tuple[tuple[str, Pair], ...], names: tuple[str, str]) -> Iterator[str]:
    shares = [
        f"{describe.format_estimate(pair.ours.times(100), digits=0, bounds=False)} against "
        f"{describe.format_estimate(pair.theirs.times(100), digits=0, bounds=False)} have {words}"
        for words, pair in top
    ]
    yield f"Of 100 images, {names[0]} against {names[1]}: {describe.list_some(shares, 'and', most=len(shares))}."
    clear = [pair for pair in (*against.headline,) if pair.verdict in _CLEAR]
    if clear:
        told = [
            f"{one.verdict} in {one.name} ({describe.format_estimate(one.difference, signed=True, digits=one.digits)})"
            for one in clear
        ]
        yield f"{names[0]} is {describe.list_some(told, 'and', most=len(told))}; the other metrics do not tell."
    elif any(pair.verdict == "too few to tell" for pair in against.headline):
        yield "Images are too few for a verdict: which of the two is better is not known yet."
    elif all(pair.verdict == "same answers" for pair in against.headline):
        yield "Both give the same answers."
    else:
        yield "No metric shows one of the two to be better."
    for word in _CLEAR:
        nodes = [one.node for one in against.nodes if one.leaf and one.metrics["f1"].verdict == word]
        if nodes:
            yield f"Clearly {word} in F1: {describe.list_some(nodes, 'and', most=6)}."


def _cost(run: Run) -> Cost:
    return total_cost({name: cost.model_dump() for name, cost in run.evaluation.facts.members.items()})


def _list_differing(ours: Run, theirs: Run) -> Iterator[Differing]:
    """List what differs: what was measured on, how many members, and every setting of the recipes."""
    facts = [run.evaluation.facts for run in (ours, theirs)]
    for name, words in (("split_digest", "split"), ("pack_digest", "pack"), ("part", "samples measured on")):
        values = [str(getattr(one, name) or "unknown") for one in facts]
        if values[0] != values[1]:
            yield Differing(words, *values)
    members = [", ".join(one.members) for one in facts]
    if members[0] != members[1]:
        yield Differing("members", *members)
    kept = [dict(_flatten(run.recipe.model_dump(mode="json"))) for run in (ours, theirs)]
    for name in sorted({*kept[0], *kept[1]}):
        values = [kept[k].get(name, "–") for k in (0, 1)]
        if values[0] != values[1] and name not in ("run", "artifacts"):
            yield Differing(name, *values)


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        elif name == "members" and isinstance(value, list) and not prefix:
            yield name, ", ".join(one["name"] for one in value)
        else:
            yield f"{prefix}{name}", str(value)
