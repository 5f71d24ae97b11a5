"""Opening: what a reader wants to know first: how often answers are right, what to trust, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpa_hier.evaluate.describe import describe_scope, format_estimate, list_some
from hpa_hier.evaluate.report.needs import Needs, bound, describe_absent, find_needs, is_found, is_founded
from hpa_hier.evaluate.report.tree import Branch, grow_tree
from hpa_hier.evaluate.results import Compared, LevelRows, NodeRow, Results, Row
from hpa_hier.taxonomy import Taxonomy

# What "better than always the same labels" is asked of: of labels by class and by sample, and of probabilities.
JUDGED = ("macro_f1", "sample_f1", "log_loss")
_LISTED = 4  # nodes of a level at most, where all are named
_NAMED = 3  # classes at most, where the best and the worst are named
_WORDS = {"coarse": "group", "compartment": "organelle", "leaf": "place"}  # of levels of the shipped trees


@dataclass(frozen=True)
class Right:
    """How many of 100 samples have the right answer of one kind."""

    title: str  # what is right, such as "the right group"
    detail: str  # what it counts
    row: Row  # the share of samples

    @property
    def between(self) -> str:
        """The interval in words; "" where there is none."""
        low, high = self.row.ensemble.low, self.row.ensemble.high
        return "" if low is None or high is None else f"between {100 * low:.0f} and {100 * high:.0f}"

    @property
    def squares(self) -> tuple[int, int, int]:
        """Of 100 squares: those surely right, those that are right here, those that may be, each with the ones before.

        They are the interval's lower bound, the value and the upper bound.
        """
        estimate = self.row.ensemble
        low, value, high = (round(100 * (one or 0.0)) for one in (estimate.low, estimate.value, estimate.high))
        return (min(low, value), value, max(high, value))


@dataclass(frozen=True)
class Step:
    """Something to do, with the command that does it."""

    words: str
    command: str = ""


@dataclass(frozen=True)
class Opening:
    """What the first screen shows."""

    results: Results
    notes: tuple[str, ...]  # what to know before reading
    sentence: str
    right: tuple[Right, ...]
    trust: tuple[str, ...]  # sentences
    needs: Needs
    absent: str
    steps: tuple[Step, ...]
    tree: list[Branch]
    context: str  # what was measured on
    percent: str  # of the intervals


def open_report(
    results: Results,
    taxonomy: Taxonomy,
    origin: str = "",
    learned: Mapping[str, int] | None = None,
    steps: Sequence[Step] = (),
) -> Opening:
    """Collect the first screen.

    Args:
        results: of the evaluation.
        taxonomy: the label tree.
        origin: warns of simulated cells behind the networks.
        learned: leaf → images that networks learned from; None: not known.
        steps: what to do next, beside what the results say.
    """
    return Opening(
        results=results,
        notes=describe_notes(results, origin),
        sentence=describe_right(results),
        right=right_shares(results),
        trust=describe_trust(results),
        needs=find_needs(results, learned),
        absent=describe_absent(results.scope.left_out),
        steps=tuple(steps),
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
    levels = [Right(f"the right {name_level(level)}", _list_choice(level.nodes), level.top) for level in results.levels]
    return (*levels, Right("all labels right", "none missed, none added", results.row("subset_accuracy")))


def _list_choice(nodes: Sequence[str]) -> str:
    return list_some(nodes, "or") if len(nodes) <= _LISTED else f"one of {len(nodes)}"


def name_level(level: LevelRows) -> str:
    """Call a level as a reader would."""
    return name_words(level.name)


def name_words(level: str) -> str:
    """Return what a reader calls a level: group, organelle or place for those of the shipped trees, else its name.

    >>> name_words("coarse"), name_words("tissue")
    ('group', 'tissue')
    """
    return _WORDS.get(level, level)


def of_hundred(row: Row, system: str = "ensemble", *, bounds: bool = True) -> str:
    """Write a share of samples as a number of 100, with its interval: "93 [90, 95]"."""
    share = row.ensemble if system == "ensemble" else row.others[system].estimate
    return format_estimate(share.times(100), digits=0, bounds=bounds)


def describe_right(results: Results) -> str:
    """Say of how many of 100 samples the answers are right."""
    parts = [f"{of_hundred(one.row)} have {one.title}" for one in right_shares(results)]
    return f"Of 100 images like these, {list_some(parts, 'and', most=len(parts))}."


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
    if any(row.others["trivial"].verdict == "too few to tell" for row in rows):
        units = "" if results.scope.units == results.scope.samples else f" of {results.scope.units:,} antibodies"
        few = f"{results.scope.samples:,} images{units} are too few for a verdict"
        return f"{few}: whether these labels are better than always answering {always} is not known yet."
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
    """Say in at most three sentences what to trust: classes to trust, classes not to, and safe answers."""
    found = (*_describe_classes(results.nodes), _describe_safe(results))
    return tuple(sentence for sentence in found if sentence)


def _describe_classes(nodes: Sequence[NodeRow]) -> tuple[str, str]:
    """Name the classes that are surely found, by the lower bounds of F1, and those that are surely not, by the upper.

    Bounds rather than values, and no class of a handful of images. Found means more than always answering the class
    would give.
    """
    leaves = [row for row in nodes if row.leaf and is_founded(row)]
    if not leaves:
        return "No class has images enough here to say that it is found, or that it is not.", ""
    found = sorted((row for row in leaves if is_found(row)), key=lambda row: bound(row.f1.low), reverse=True)
    rest = sorted(
        (row for row in leaves if row not in found[:_NAMED]), key=lambda row: (bound(row.f1.high), -row.positives)
    )
    best, worst = (
        ", ".join(f"{row.node} ({_describe_found(row)})" for row in rows) for rows in (found[:_NAMED], rest[:_NAMED])
    )
    least = f"Trust least: {worst}." if worst else ""
    if not best:
        return "No class is shown to be found better than by always answering it.", least
    return f"Trust most: {best}.", least


def _describe_found(row: NodeRow) -> str:
    """Say how many of a class's images are found, and how often it is right where it is called."""
    if row.precision.value is None:
        return "never called"
    return f"{100 * bound(row.recall.value):.0f} % found, {100 * row.precision.value:.0f} % of calls right"


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
        + _describe_verdict(results, row.others["baseline"])
        for row in rows
    ]
    other = f"the flat ensemble{' of as many networks' if matched else ''}"
    if scope.compared_with:
        other = f"the ensemble {scope.compared_with}"
    return f"Beside {other}: {'; '.join(parts)}. {scope.acceptance}".rstrip()


def _describe_verdict(results: Results, compared: Compared) -> str:
    """Write a verdict, with the reason where the interval alone would say otherwise; "" where there is none."""
    if compared.verdict is None:
        return ""
    low, high = compared.difference.low, compared.difference.high
    excluded = low is not None and high is not None and not low <= 0 <= high
    if compared.verdict == "no clear difference" and excluded:
        metrics = len(results.headline) + 3 * len(results.levels)
        why = f"of {metrics} metrics compared, one or two leave 0 out by chance"
        return f": no clear difference, since {why}"
    return f": {compared.verdict}"


def _value(row: Row, system: str) -> str:
    estimate = row.ensemble if system == "ensemble" else row.others[system].estimate
    return format_estimate(estimate, digits=row.digits, bounds=False)


def describe_opening(results: Results) -> str:
    """Write the opening as lines for a terminal."""
    needs = (find_needs(results).sentence, describe_absent(results.scope.left_out))
    lines = (*describe_notes(results, ""), describe_right(results), *describe_trust(results), *needs)
    return "\n".join(line for line in lines if line)
