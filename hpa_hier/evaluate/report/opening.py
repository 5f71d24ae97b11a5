"""Opening: what a reader wants to know first, in sentences: how often answers are right, and what to trust."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpa_hier.evaluate.describe import describe_scope, format_estimate, list_some
from hpa_hier.evaluate.report.tree import Branch, grow_tree
from hpa_hier.evaluate.results import NodeRow, Results, Row
from hpa_hier.taxonomy import Taxonomy

# What "better than always the same labels" is asked of: of labels by class and by sample, and of probabilities.
JUDGED = ("macro_f1", "sample_f1", "log_loss")
_NAMED = 3  # classes at most, where the best and the worst are named


@dataclass(frozen=True)
class Right:
    """How many of 100 samples have the right answer of one kind."""

    title: str  # a level's name, or "all labels"
    detail: str  # what it counts
    row: Row  # the share of samples


@dataclass(frozen=True)
class Opening:
    """What the first screen shows."""

    results: Results
    notes: tuple[str, ...]  # what to know before reading
    right: tuple[Right, ...]
    trust: tuple[str, ...]  # sentences
    tree: list[Branch]
    context: str  # what was measured on
    percent: str  # of the intervals


def open_report(results: Results, taxonomy: Taxonomy, origin: str = "") -> Opening:
    """Collect the first screen; `origin` warns of simulated cells behind the networks."""
    return Opening(
        results=results,
        notes=describe_notes(results, origin),
        right=right_shares(results),
        trust=describe_trust(results),
        tree=grow_tree(taxonomy, {row.node: row for row in results.nodes}),
        context=describe_scope(results.scope),
        percent=f"{100 * results.scope.interval:g}",
    )


def describe_notes(results: Results, origin: str) -> tuple[str, ...]:
    """Say what to know before reading: what the cells are, what the networks are, and where nothing is shown."""
    simulated = "Simulated cells: none of this is evidence about real ones." if results.scope.simulated else ""
    behind = f"Bear in mind: {origin}." if origin and not simulated else ""
    return tuple(note for note in (simulated, behind, describe_caution(results)) if note)


def right_shares(results: Results) -> tuple[Right, ...]:
    """List the shares of samples that are right: at each level, top to bottom, then in all their labels.

    A sample is right at a level where the level's most likely node is among the annotated ones, and in all its labels
    where the leaves predicted are exactly those annotated.
    """
    levels = [Right(level.name, list_some(level.nodes, most=2), level.top) for level in results.levels]
    return (*levels, Right("all labels", "nothing missed, nothing added", results.row("subset_accuracy")))


def of_hundred(row: Row, system: str = "ensemble", *, bounds: bool = True) -> str:
    """Write a share of samples as a number of 100, with its interval: "93 [90, 95]"."""
    share = row.ensemble if system == "ensemble" else row.others[system].estimate
    return format_estimate(share.times(100), digits=0, bounds=bounds)


def describe_right(results: Results) -> str:
    """Say of how many of 100 samples the answers are right."""
    *levels, labels = right_shares(results)
    parts = [f"{of_hundred(one.row)} at level {one.title}" for one in levels]
    likeliest = f"the most likely place is right for {', '.join(parts)}"
    return f"Of 100 images like these, {likeliest}; all labels are right for {of_hundred(labels.row)}."


def unbeaten(results: Results) -> list[Row]:
    """Return the judged metrics in which the ensemble is not shown to be better than always the same labels.

    Empty where the evaluation holds no trivial baseline.
    """
    rows = [results.row(key) for key in JUDGED]
    return [row for row in rows if "trivial" in row.others and row.others["trivial"].verdict != "better"]


def _is_above(row: Row) -> bool:
    """Tell whether the ensemble's value is better than the trivial baseline's, be it by chance."""
    gain = row.others["trivial"].difference.value
    return gain is not None and (gain > 0 if row.higher_is_better else gain < 0)


def describe_caution(results: Results) -> str:
    """Say where nothing beats always the same labels, or some metrics do not; "" where the ensemble beats them."""
    rows, always = unbeaten(results), list_some(results.scope.always, "and")
    if not rows:
        return ""
    if len(rows) < len(JUDGED):
        keys, names = {row.key for row in rows}, " and ".join(row.name for row in rows)
        what = "labels" if "sample_f1" in keys else "probabilities" if "log_loss" in keys else ""
        start = f"Do not use these {what}: in" if what else "In"
        return f"{start} {names} nothing is shown to beat always answering {always}."
    if any(_is_above(row) for row in rows):
        few = f"on these {results.scope.samples:,} images nothing is shown to beat"
        return f"Do not use these labels: {few} always answering {always}."
    return f"Nothing here beats always answering {always}; do not use these labels."


def describe_trust(results: Results) -> tuple[str, ...]:
    """Say in at most three sentences what to trust: classes, classes that nothing is known of, and safe answers."""
    found = (_describe_classes(results.nodes), _describe_left_out(results), _describe_safe(results))
    return tuple(sentence for sentence in found if sentence)


def _describe_classes(nodes: Sequence[NodeRow]) -> str:
    """Name the classes that are surely found, by the lower bounds of F1, and those that are surely not, by the upper.

    Bounds rather than values, since a class of two images may have any F1. Found means more than always answering the
    class would give.
    """
    leaves = [row for row in nodes if row.leaf and row.f1.low is not None and row.f1.high is not None]
    if not leaves:
        return ""
    found = sorted((row for row in leaves if _low(row) > _f1_of_always(row)), key=_low, reverse=True)
    rest = sorted((row for row in leaves if row not in found[:_NAMED]), key=lambda row: (_high(row), -row.positives))
    best, worst = (
        ", ".join(f"{row.node} {format_estimate(row.f1, digits=2, bounds=False)} ({row.positives:,})" for row in rows)
        for rows in (found[:_NAMED], rest[:_NAMED])
    )
    least = f" Trust least: {worst}." if worst else ""
    if not best:
        return f"No class is shown to be found better than by always answering it.{least}"
    return f"Trust most (F1 and number of images): {best}.{least}"


def _low(row: NodeRow) -> float:
    return row.f1.low or 0.0


def _high(row: NodeRow) -> float:
    return row.f1.high or 0.0


def _f1_of_always(row: NodeRow) -> float:
    """Return the F1 of answering the node for every sample: 2p / (1 + p) of its share p."""
    return 2 * row.positives / (row.positives + row.tp + row.fp + row.fn + row.tn)


def _describe_left_out(results: Results) -> str:
    absent = results.scope.left_out
    if not absent:
        return ""
    return f"Nothing is known of {list_some(absent, 'and')}: no image here has {'it' if len(absent) == 1 else 'them'}."


def _describe_safe(results: Results) -> str:
    every = next(iter(results.safe), None)
    if every is None:
        return ""
    if every.right is None:
        return "No image gets a safe answer."
    given, right = f"{100 * every.share:.0f} of 100 images", format_estimate(every.estimate.times(100), digits=0)
    return f"A safe answer is given for {given}; of 100 such answers {right} are right."


def describe_comparison(results: Results) -> str:
    """Say how the ensemble compares with the flat one, and how the aggregate was accepted; "" without a baseline."""
    scope = results.scope
    rows = [row for row in map(results.row, ("macro_f1", "log_loss")) if "baseline" in row.others]
    if scope.uses_baseline or not rows:
        return scope.acceptance
    matched = len(scope.members) == len(scope.baseline_members)
    parts = [
        f"{row.name} {_value(row, 'ensemble')} against {_value(row, 'baseline')}, a difference of "
        f"{format_estimate(row.others['baseline'].difference, signed=True, digits=row.digits)}"
        + (f": {row.others['baseline'].verdict}" if row.others["baseline"].verdict else "")
        for row in rows
    ]
    other = f"the flat ensemble{' of as many networks' if matched else ''}"
    if scope.compared_with:
        other = f"the ensemble {scope.compared_with}"
    return f"Beside {other}: {'; '.join(parts)}. {scope.acceptance}".rstrip()


def _value(row: Row, system: str) -> str:
    estimate = row.ensemble if system == "ensemble" else row.others[system].estimate
    return format_estimate(estimate, digits=row.digits, bounds=False)


def describe_opening(results: Results) -> str:
    """Write the opening as lines for a terminal."""
    return "\n".join((*describe_notes(results, ""), describe_right(results), *describe_trust(results)))
