"""Reasons: why one sample has its answer, as named values and short sentences, for pages, JSON and texts alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from hpa_hier.ensemble.decide.safe import UNSURE
from hpa_hier.ensemble.decide.thresholds import HALF, NEVER
from hpa_hier.ensemble.novelty.words import NO_DISTANCES
from hpa_hier.predict.explanation.explained import Explained
from hpa_hier.taxonomy import Taxonomy

_SHOWN = 3  # likeliest places
_NEAREST = 2  # of the nodes that are not in the answer, named at each step
_FEW = 20  # images, fewer than which make a threshold a guess
_LIKELIHOOD = (  # the scale of Mastrandrea et al., IPCC guidance note on uncertainties, 2010
    (0.99, "virtually certain"),
    (0.90, "very likely"),
    (0.66, "likely"),
    (0.33, "about as likely as not"),
    (0.10, "unlikely"),
    (0.01, "very unlikely"),
    (0.00, "exceptionally unlikely"),
)


@dataclass(frozen=True)
class MemberSays:
    """What one member says of a node."""

    member: str
    prob: float  # its own calibrated probability, in [0, 1]
    weight: float | None  # that it has for the node, 0: not used; None: the rule that combines members has no weights


@dataclass(frozen=True)
class Place:
    """One of the likeliest places."""

    node: str
    prob: float  # in [0, 1]
    threshold: float | None  # that it must reach; None: there is none, see `TreeRow`
    present: bool  # in the answer
    likelihood: str  # the probability in words


@dataclass(frozen=True)
class TreeRow:
    """One node of the tree with what the answer for it rests on."""

    node: str
    parents: tuple[str, ...]  # the nodes right above; () at the top
    home: str | None  # of these, the one below which it is drawn
    depth: int  # 1 at the top
    level: str | None  # the first level of the tree that it is part of; None: of none
    leaf: bool
    prob: float  # in [0, 1], coherent
    threshold: float | None  # None: it is never called, or the tree is exclusive and the likeliest leaf is called
    interval: tuple[float, float] | None  # of the threshold; None: none was drawn
    positives: int  # images of it that the threshold was fitted on
    remark: str  # where it is never called, or not told apart, that it is; else ""
    present: bool  # in the answer
    answered: bool  # by some member; else its probability follows from the nodes around it
    members: tuple[MemberSays, ...]

    @property
    def spread(self) -> list[tuple[float, str]]:
        """What the members that count say of it, with their names, lowest first."""
        return sorted((one.prob, one.member) for one in self.members if one.weight != 0)

    @property
    def disagree(self) -> bool:
        """Whether some members are above its threshold, and others below."""
        spread = self.spread
        return bool(spread) and self.threshold is not None and spread[0][0] < self.threshold <= spread[-1][0]


@dataclass(frozen=True)
class Reasons:
    """Why a sample has its answer.

    Attributes:
        sample: its id.
        source: the run.
        place: where the sample is from; "": not known.
        members: how many answered.
        labels: leaves in the answer.
        groups: nodes in the answer that are no leaves.
        fallback: the likeliest leaf where nothing with a label of its own is present.
        safe: the deepest node whose precision target is met, or unsure; None where there can be none.
        annotated: nodes that the sample is annotated with; None: it is not.
        places: the likeliest leaves, the likeliest first.
        tree: all nodes that can be an answer, in the tree's order.
        summary: the answer with its reason in one line.
        path: the nodes from the top to the likeliest place, but for those that are the only one below another.
        why: lines that go down the tree, those below a node indented.
        warnings: what is doubtful about the sample itself, as that it is unlike those learned from.
        doubts: what is doubtful about its places.
        notes: what to bear in mind about the ensemble.
    """

    sample: str
    source: str
    place: str
    members: int
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    fallback: str | None
    safe: str | None
    annotated: tuple[str, ...] | None
    places: tuple[Place, ...]
    tree: tuple[TreeRow, ...]
    summary: str
    path: tuple[str, ...]
    why: tuple[str, ...]
    warnings: tuple[str, ...]
    doubts: tuple[str, ...]
    notes: tuple[str, ...]

    def prob(self, node: str) -> float:
        """Return the probability of a node, in [0, 1]."""
        return next(row.prob for row in self.tree if row.node == node)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain lists, dictionaries, texts and numbers."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        return plain


def find_reasons(one: Explained) -> Reasons:
    """Return why a sample has its answer."""
    taxonomy = one.ensemble.taxonomy.without_virtual
    level = {node: name for name in reversed(taxonomy.levels) for node in taxonomy.level(name)}
    rows = {node: _describe_node(one, taxonomy, node, level.get(node)) for node in taxonomy.nodes}
    there = [row for row in rows.values() if row.present]
    likeliest = sorted((row for row in rows.values() if row.leaf), key=lambda row: -row.prob)[:_SHOWN]
    doubts = {row.node: tuple(_doubt(row)) for row in rows.values() if row.leaf and (row.present or row in likeliest)}
    notes = list(one.notes)
    if one.ensemble.novelty is None and "score_kind" not in one.ensemble.about:  # score tables have no samples
        notes.append(f"whether it is like what was learned from is not known: {NO_DISTANCES}")
    return Reasons(
        sample=one.prediction.ids[0],
        source=one.source,
        place=one.place,
        members=len(one.members),
        labels=tuple(row.node for row in there if row.leaf),
        groups=tuple(row.node for row in there if not row.leaf),
        fallback=one.fallback or None,
        safe=one.safe or None,
        annotated=one.annotated,
        places=tuple(
            Place(row.node, row.prob, row.threshold, row.present, say_likelihood(row.prob)) for row in likeliest
        ),
        tree=tuple(rows.values()),
        summary=_summarise(there, likeliest, rows.get(one.fallback, likeliest[0])),
        path=_find_path(taxonomy, likeliest[0].node),
        why=tuple(_walk(rows, taxonomy, [row.node for row in rows.values() if row.depth == 1], "")),
        warnings=(*one.doubts, *(f"there is no {channel} channel; zeros stand for it" for channel in one.filled)),
        doubts=tuple(text for texts in doubts.values() for text in texts),
        notes=tuple(notes),
    )


def say_percent(share: float) -> str:
    """Return a share of 1 for people.

    >>> say_percent(0.931), say_percent(0.0004), say_percent(0.9999)
    ('93 %', 'below 1 %', 'above 99 %')
    """
    if share < 0.01:
        return "below 1 %"
    return "above 99 %" if share > 0.99 else f"{share:.0%}".replace("%", " %")


def say_likelihood(prob: float) -> str:
    """Return a probability in words.

    >>> say_likelihood(0.95), say_likelihood(0.5)
    ('very likely', 'about as likely as not')
    """
    return next(word for least, word in _LIKELIHOOD if prob >= least)


def _describe_node(one: Explained, taxonomy: Taxonomy, node: str, level: str | None) -> TreeRow:
    ensemble, entry = one.ensemble, taxonomy.entries[node]
    j, limits = ensemble.taxonomy.column[node], ensemble.thresholds
    weights, low, high = ensemble.combiner.aggregate.weights, limits.low[j], limits.high[j]
    never, half = limits.rules[j] == NEVER, limits.rules[j] == HALF
    remark = "never in an answer: there was no image of it to fit on" if never else ""
    return TreeRow(
        node=node,
        parents=taxonomy.parents(node),
        home=entry.home,
        depth=entry.depth,
        level=level,
        leaf=taxonomy.is_leaf(node),
        prob=one.prob(node),
        threshold=None if never or taxonomy.exclusive else float(one.prediction.thresholds[j]),
        interval=None if np.isnan(low) or taxonomy.exclusive else (float(low), float(high)),
        positives=int(limits.positives[j]),
        remark="not told apart from other places" if half else remark,
        present=one.is_present(node),
        answered=bool(one.answered[j]),
        members=tuple(
            MemberSays(scores.name, float(prob), None if weights is None else float(weights[row, j]))
            for row, (scores, prob) in enumerate(zip(one.scored, one.calibrated[:, j], strict=True))
            if np.isfinite(prob)
        ),
    )


def _find_path(taxonomy: Taxonomy, leaf: str) -> tuple[str, ...]:
    path = [leaf]
    while (home := taxonomy.entries[path[0]].home) is not None:
        path.insert(0, home)
    return tuple(node for node, below in pairwise((*path, "")) if not below or len(taxonomy.children(node)) > 1)


def _summarise(there: Sequence[TreeRow], likeliest: Sequence[TreeRow], nearest: TreeRow) -> str:
    """Return "Nucleoli 0.91, needs 0.43; Nuclear speckles doubtful", of what is there, likeliest, and else nearest."""
    shown = [row for row in there if row.leaf]
    parts = [f"{_say_number(row)}{', doubtful' if any(_doubt(row)) else ''}" for row in shown]
    if not shown:
        above = {parent for row in there for parent in row.parents}
        lowest = [_say_number(row) for row in there if row.node not in above]
        parts = [*lowest, f"none of its places: nearest {_say_number(nearest)}"]
        parts = parts if lowest else [f"{UNSURE}: nearest {_say_number(nearest)}"]
        shown = [nearest]
    parts += [f"{row.node} doubtful" for row in likeliest if row not in shown and (row.disagree or _is_close(row))]
    return "; ".join(parts)


def _say_number(row: TreeRow) -> str:
    needs = f", needs {row.threshold:.2f}" if row.threshold is not None else ""
    return f"{row.node} {row.prob:.2f}{needs}"


def _walk(rows: dict[str, TreeRow], taxonomy: Taxonomy, nodes: Sequence[str], indent: str) -> Iterator[str]:
    """Yield a line for each of these nodes that is in the answer, those below it, and one for the rest."""
    for row in (rows[node] for node in nodes):
        if row.present:
            below = [child for child in taxonomy.children(row.node) if rows[child].home == row.node]
            if len(below) == 1 and rows[below[0]].present:
                yield from _walk(rows, taxonomy, below, indent)  # an organelle with a single place is that place
                continue
            yield f"{indent}{row.node}: {_say_reached(rows, taxonomy, row)}{_say_agreement(row)}"
            yield from _walk(rows, taxonomy, below, indent + "  ")
    absent = sorted((rows[node] for node in nodes if not rows[node].present), key=lambda row: -row.prob)
    if absent:
        more = f", and {len(absent) - _NEAREST} more" if len(absent) > _NEAREST else ""
        named = ", ".join(f"{row.node}: {_say_missed(row)}" for row in absent[:_NEAREST])
        yield f"{indent}not {named}{more}"


def _say_reached(rows: dict[str, TreeRow], taxonomy: Taxonomy, row: TreeRow) -> str:
    if taxonomy.exclusive:
        return f"{say_percent(row.prob)}, the likeliest"
    if row.threshold is not None and row.prob >= row.threshold:
        return f"{say_percent(row.prob)}, where {say_percent(row.threshold)} is enough"
    below = next((child for child in taxonomy.children(row.node) if rows[child].present), "a place")
    return f"{say_percent(row.prob)}, in the answer because {below} is"


def _say_missed(row: TreeRow) -> str:
    if row.remark.startswith("never"):
        return f"{say_percent(row.prob)} (never in an answer: no image of it to learn from)"
    if row.threshold is None:
        return say_percent(row.prob)
    return f"{say_percent(row.prob)} (needs {say_percent(row.threshold)})"


def _say_agreement(row: TreeRow) -> str:
    spread = row.spread
    if len(spread) < 2:
        return ""
    (lowest, _), (highest, _) = spread[0], spread[-1]
    if row.disagree:
        return f"; {_say_spread(spread)}"
    who = "both" if len(spread) == 2 else f"all {len(spread)}"
    return f"; {who} members agree ({say_percent(lowest)} to {say_percent(highest)})"


def _say_spread(spread: Sequence[tuple[float, str]]) -> str:
    (lowest, lower), (highest, higher) = spread[0], spread[-1]
    return f"the members disagree: '{lower}' says {say_percent(lowest)}, '{higher}' {say_percent(highest)}"


def _is_close(row: TreeRow) -> bool:
    """Tell whether a probability is within the interval of its threshold."""
    return row.interval is not None and row.interval[0] <= row.prob <= row.interval[1] > row.interval[0]


def _doubt(row: TreeRow) -> Iterator[str]:
    """Yield what is doubtful about a place in the answer, or one of the likeliest."""
    if row.remark.startswith("never"):
        yield f"{row.node} is {row.remark}"
    elif row.remark:
        yield f"{row.node}: the members do not tell it apart from other places"
    elif row.threshold is None:
        pass
    elif row.positives < _FEW:
        images = "1 image" if row.positives == 1 else f"{row.positives} images"
        yield f"the threshold of {row.node} rests on {images} of it"
    elif row.interval and _is_close(row):
        shown = f"{say_percent(row.threshold)} could as well be {' to '.join(map(say_percent, row.interval))}"
        yield f"{row.node} is a close call: its threshold, {shown}"
    if row.present and row.disagree:
        yield f"{row.node}: {_say_spread(row.spread)}"
