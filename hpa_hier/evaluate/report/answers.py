"""Answers: the page of new images without labels: how many of each place, what is doubtful, and pictures of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpa_hier.data.labels.problems import Doubts
from hpa_hier.ensemble.decide.safe import UNSURE
from hpa_hier.errors import UserError
from hpa_hier.evaluate import describe
from hpa_hier.evaluate.figures import palette
from hpa_hier.evaluate.gallery.pictures import ScaleBar, encode_within, scale_bar
from hpa_hier.evaluate.report.frame import render_page
from hpa_hier.evaluate.report.opening import describe_right
from hpa_hier.evaluate.report.section import Page, Section
from hpa_hier.evaluate.results import read_results
from hpa_hier.files.atomic import write_text
from hpa_hier.metrics.arrays import Floats
from hpa_hier.predict.formats.rows import PLACES, Rows
from hpa_hier.predict.predictor import SEEN
from hpa_hier.predict.tables import Rejected
from hpa_hier.runs.run import Run
from hpa_hier.taxonomy import Taxonomy

FILE = "report.html"
UNLIKE = "unlike what was learned from"  # how the warning of such a sample begins
_SHELF = 4  # pictures on a shelf, at most
_LISTED = 1000  # samples in the page's table, at most; predictions.csv has all
_REJECTED = 50  # of those that cannot be read, named at most
_BUDGET = 3_000_000  # characters of the page that pictures may take
_NAMED = 4  # places in the first sentence

Read = Callable[[Sequence[str]], Mapping[str, np.ndarray]]  # ids → (C, S, S) uint8 images, of those that can be read


@dataclass(frozen=True)
class Answered:
    """Answers that a page is made of.

    Attributes:
        rows: what the tables say, with probabilities of the nodes of `taxonomy.without_virtual`.
        taxonomy: the label tree.
        source: where the samples are from.
        shared: warnings that are about all of them.
        rejected: samples that could not be answered for.
        channels: of the images, in the order of `read`; (): samples are no images.
        read: reads images again; None: there are none.
    """

    rows: Sequence[Rows]
    taxonomy: Taxonomy
    source: str
    shared: tuple[str, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    channels: tuple[str, ...] = ()
    read: Read | None = None


@dataclass(frozen=True)
class Count:
    """A node of the tree with how many samples are called it, and what is below it."""

    node: str
    leaf: bool
    samples: int
    share: float  # of all samples
    step: int | None  # of the colour ramp; None where there are none
    below: tuple[Count, ...]


@dataclass(frozen=True)
class Share:
    """How many samples get one kind of answer."""

    title: str
    detail: str
    samples: int
    hundred: int  # of 100

    @property
    def squares(self) -> tuple[int, int, int]:
        """Of 100 squares, those that are filled; there is no interval, since all samples are counted."""
        return (self.hundred, self.hundred, self.hundred)


@dataclass(frozen=True)
class Picture:
    """One sample's picture with its likeliest places."""

    id: str
    number: int  # of all pictures of the page
    planes: dict[str, str]  # channel → data URI of its grey plane
    places: tuple[tuple[str, float, bool], ...]  # name, probability, whether it is called
    words: str  # what is doubtful about it
    bar: ScaleBar | None = None  # as of a report's pictures; here the size of a pixel is not kept


@dataclass(frozen=True)
class Shelf:
    """Pictures that belong together."""

    title: str
    words: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class PlacePart:
    """One place: how often it is called, and how surely."""

    node: str
    anchor: str
    samples: int
    alone: int  # of these, those with no other place
    median: float  # of their probabilities
    shelves: tuple[Shelf, ...]


@dataclass(frozen=True)
class Line:
    """One sample in the table."""

    id: str
    places: str
    safe: str
    prob: float  # of the likeliest place
    warning: str


@dataclass(frozen=True)
class AnswerPage:
    """What the sections show."""

    samples: int
    sentences: tuple[str, ...]
    shares: tuple[Share, ...]
    tree: tuple[Count, ...]
    places: tuple[PlacePart, ...]
    doubts: tuple[str, ...]  # lines on what looks wrong
    shelves: tuple[Shelf, ...]  # of what to look at again
    rejected: tuple[Rejected, ...]
    more_rejected: int
    lines: tuple[Line, ...]
    channels: tuple[str, ...]
    shown: int  # pictures
    side: int  # pixels of a picture


def write_answers(path: Path, answered: Answered, run: Run) -> Path:
    """Write the page of answers for new samples.

    Args:
        path: of the page.
        answered: what the tables say.
        run: whose ensemble answered; its evaluation says how good such answers are.
    """
    page = collect_answers(answered, describe_quality(run))
    write_text(path, render_answers(page, answered, run))
    return path


def describe_quality(run: Run) -> str:
    """Say from which evaluation it is known how good such answers are, and what it found."""
    name = run.folder.resolve().name
    try:
        results = read_results(run.ensemble_folder)
    except UserError:
        return f"How good they are cannot be seen from images without labels, and {name} keeps no evaluation."
    scope = results.scope
    where = f"{scope.samples:,} {describe.describe_cells(scope)} ({describe.describe_part(scope)}) of {name}"
    beyond = ", which says nothing about other ones" if scope.simulated else ""
    found = describe_right(results)
    return (
        f"How good they are cannot be seen from images without labels; the evaluation on {where}{beyond}, found: "
        f"{found[0].lower()}{found[1:]}"
    )


def collect_answers(answered: Answered, quality: str) -> AnswerPage:
    """Collect what the page shows.

    Args:
        answered: what the tables say.
        quality: a sentence on how good such answers are.
    """
    table = _Table.join(answered)
    chosen = _choose(table) if answered.read else {}
    pictures, side = _draw(table, answered, chosen)
    listed = table.order_by_doubt()[:_LISTED]
    kinds = Doubts()
    kinds.add(table.ids, [tuple(filter(None, own.split("; "))) for own in table.warnings])
    return AnswerPage(
        samples=len(table.ids),
        sentences=(*_describe(table, answered), quality),
        shares=_list_shares(table),
        tree=tuple(_grow(table, node) for node in table.taxonomy.nodes if table.taxonomy.node(node).home is None),
        places=tuple(_list_places(table, chosen, pictures)),
        doubts=kinds.lines(),
        shelves=tuple(_list_doubtful(chosen, pictures)),
        rejected=answered.rejected[:_REJECTED],
        more_rejected=max(0, len(answered.rejected) - _REJECTED),
        lines=tuple(table.line(row) for row in listed.tolist()),
        channels=answered.channels if pictures else (),
        shown=len(pictures),
        side=side,
    )


def render_answers(page: AnswerPage, answered: Answered, run: Run) -> str:
    """Write the page."""
    sections = (
        Section("answer", "Where the proteins are", "answers_opening.html.j2", page, "In short"),
        Section("places", "Place by place", "answers_places.html.j2", page, "Places"),
        Section("doubtful", "What to look at again", "answers_doubtful.html.j2", page, "Doubtful"),
        Section("images", "Image by image", "answers_images.html.j2", page, "Images"),
    )
    return render_page(
        Page(
            heading="Where in the cell:",
            name=answered.source,
            sections=sections,
            notes=tuple(f"Bear in mind: {note}." for note in answered.shared),
            channels=page.channels,
            footer=f"answered by {run.folder.resolve().name}; {page.samples:,} images",
        )
    )


@dataclass(frozen=True)
class _Table:
    """All answers in arrays, columns as the nodes of the tree without virtual ones."""

    taxonomy: Taxonomy
    ids: tuple[str, ...]
    probs: Floats  # (B, N)
    called: np.ndarray  # (B, N) bool
    safe: tuple[str, ...]
    warnings: tuple[str, ...]  # each sample's own
    learned: int  # samples that members learned from
    unsafe: bool  # there are no safe answers at all

    @classmethod
    def join(cls, answered: Answered) -> _Table:
        taxonomy = answered.taxonomy.without_virtual
        ids = tuple(sample for rows in answered.rows for sample in rows.ids)
        called = np.zeros((len(ids), len(taxonomy.nodes)), bool)
        shared = "; ".join(answered.shared)
        safe, warnings, row, learned = [], [], 0, 0
        for rows in answered.rows:
            columns = {
                name: [str(one) for one in rows.columns[name]] for name in ("labels", "groups", "safe", "warning")
            }
            for labels, groups, one, warning in zip(*columns.values(), strict=True):
                names = (*labels.split("|"), *groups.split("|"))
                called[row, [taxonomy.column[name] for name in names if name in taxonomy.column]] = True
                safe.append(one)
                own = (warning.removesuffix(shared).removesuffix("; ") if shared else warning).split("; ")
                learned += SEEN in own
                warnings.append("; ".join(one for one in own if one != SEEN))
                row += 1
        probs = np.concatenate([rows.probs for rows in answered.rows]) if answered.rows else np.zeros(called.shape)
        return cls(taxonomy, ids, probs, called, tuple(safe), tuple(warnings), learned, not any(safe))

    @property
    def leaves(self) -> list[int]:
        """Columns of the leaves."""
        return [self.taxonomy.column[leaf] for leaf in self.taxonomy.leaves]

    @property
    def unlike(self) -> np.ndarray:
        """(B,) which samples are unlike those that were learned from."""
        return np.array([UNLIKE in warning for warning in self.warnings], bool)

    @property
    def unlabelled(self) -> np.ndarray:
        """(B,) which samples get no label."""
        return np.asarray(~self.called.any(axis=1))

    def order_by_doubt(self) -> np.ndarray:
        """Order samples: those with a warning first, then those without a label, then by the likeliest place."""
        warned = np.array([bool(warning) for warning in self.warnings], bool)
        top = self.probs[:, self.leaves].max(axis=1, initial=0.0)
        return np.lexsort((top, ~self.unlabelled, ~warned))

    def likeliest(self, row: int) -> tuple[tuple[str, float, bool], ...]:
        """Return a sample's likeliest places, with what is called among them first."""
        leaves = self.leaves
        order = sorted(leaves, key=lambda j: (not self.called[row, j], -self.probs[row, j]))
        many = max(PLACES, int(self.called[row, leaves].sum()))
        return tuple(
            (self.taxonomy.nodes[j], float(self.probs[row, j]), bool(self.called[row, j])) for j in order[:many]
        )

    def line(self, row: int) -> Line:
        """Return a sample's line."""
        places = self.likeliest(row)
        called = [name for name, _, there in places if there]
        groups = [node for j, node in enumerate(self.taxonomy.nodes) if self.called[row, j]]
        words = ", ".join(called) or (f"{groups[-1]}, no place" if groups else "none")
        top = max((prob for _, prob, _ in places), default=0.0)
        return Line(self.ids[row], words, self.safe[row], top, self.warnings[row])


def _describe(table: _Table, answered: Answered) -> Iterator[str]:
    many, leaves = len(table.ids), table.leaves
    counts = table.called[:, leaves].sum(axis=0)
    order = [k for k in np.argsort(-counts, kind="stable").tolist() if counts[k]]
    shares = [f"{_of_hundred(int(counts[k]), many)} {table.taxonomy.leaves[k]}" for k in order[:_NAMED]]
    more = f"; {len(order) - _NAMED} other places are rarer" if len(order) > _NAMED else ""
    if shares:
        yield f"Of 100 of these {many:,} images: {', '.join(shares)}{more}. An image may be in several places."
    else:
        yield f"None of these {many:,} images is called any place."
    facts = [
        (int(table.unlabelled.sum()), "without a label"),
        (int(table.unlike.sum()), "unlike what was learned from, whose answers are not to be trusted"),
        (len({one.id for one in answered.rejected}), "that could not be read"),
    ]
    told = [f"{number:,} {words}" for number, words in facts if number]
    if told:
        yield f"Among them are {describe.list_some(told, 'and')}."
    if table.learned:
        yield f"The members learned from {table.learned:,} of them, so answers are more certain than for new ones."


def _of_hundred(number: int, whole: int) -> str:
    """Write a share as a number of 100; what is not 0 is not written as 0.

    >>> _of_hundred(1, 1000), _of_hundred(0, 10), _of_hundred(499, 1000)
    ('under 1', '0', '50')
    """
    share = 100 * number / max(whole, 1)
    return "under 1" if 0 < share < 0.5 else f"{share:.0f}"


def _list_shares(table: _Table) -> tuple[Share, ...]:
    """Count the kinds of safe answers, or of answers where there are no safe ones."""
    many = max(1, len(table.ids))
    if table.unsafe:
        places = table.called[:, table.leaves].any(axis=1)
        kinds = [
            ("get a place", "its probability reaches the threshold", places),
            ("get a group only", "no place reaches its threshold", ~places & ~table.unlabelled),
            ("get no label", "the likeliest place is in predictions.csv", table.unlabelled),
        ]
    else:
        leaf = np.array([name in table.taxonomy.column and table.taxonomy.is_leaf(name) for name in table.safe])
        unsure = np.array([name == UNSURE for name in table.safe])
        kinds = [
            ("get a safe place", "right as often as was asked for", leaf),
            ("get a safe group only", "the place is not safe", ~leaf & ~unsure),
            ("get no safe answer", "unsure even of the group", unsure),
        ]
    return tuple(
        Share(title, words, int(here.sum()), round(100 * int(here.sum()) / many)) for title, words, here in kinds
    )


def _grow(table: _Table, node: str) -> Count:
    taxonomy = table.taxonomy
    samples = int(table.called[:, taxonomy.column[node]].sum())
    share = samples / max(1, len(table.ids))
    below = tuple(_grow(table, child) for child in taxonomy.children(node) if taxonomy.node(child).home == node)
    step = palette.ramp_step(share**0.5) if samples else None  # the root, so that rare places differ too
    return Count(node, taxonomy.is_leaf(node), samples, share, step, below)


_Key = tuple[str, str]  # a leaf, or "" for what to look at again, and what the shelf shows


def _choose(table: _Table) -> dict[_Key, list[int]]:
    """Choose samples for shelves, each once: unlike and unlabelled ones, and of each place the surest and least sure.

    In rounds, one for each shelf, those of the rarest places first, so that where pictures must be few each has some.
    """
    found: dict[_Key, list[int]] = {
        ("", "unlike"): np.flatnonzero(table.unlike).tolist(),
        ("", "unlabelled"): np.flatnonzero(table.unlabelled).tolist(),
    }
    counts = {leaf: int(table.called[:, table.taxonomy.column[leaf]].sum()) for leaf in table.taxonomy.leaves}
    for leaf in sorted(counts, key=lambda leaf: counts[leaf]):
        column = table.taxonomy.column[leaf]
        rows = np.flatnonzero(table.called[:, column])
        order = rows[np.argsort(-table.probs[rows, column], kind="stable")].tolist()
        found[leaf, "surest"], found[leaf, "least sure"] = order, order[::-1]
    left = {key: iter(rows) for key, rows in found.items()}
    chosen: dict[_Key, list[int]] = {key: [] for key in found}
    taken: set[int] = set()
    for _ in range(_SHELF):
        for key, waiting in left.items():
            row = next((row for row in waiting if row not in taken), None)
            if row is not None:
                taken.add(row)
                chosen[key].append(row)
    return {key: rows for key, rows in chosen.items() if rows}


def _draw(table: _Table, answered: Answered, chosen: Mapping[_Key, Sequence[int]]) -> tuple[dict[int, Picture], int]:
    """Encode the chosen samples' images, as finely as the page allows; those that are gone have none."""
    in_turn = [rows[k] for k in range(_SHELF) for rows in chosen.values() if k < len(rows)]
    if not in_turn or answered.read is None:
        return {}, 0
    images = answered.read([table.ids[row] for row in in_turn])
    there = [row for row in in_turn if table.ids[row] in images]
    if not there:
        return {}, 0

    def planes(k: int) -> dict[str, np.ndarray]:
        return dict(zip(answered.channels, images[table.ids[there[k]]], strict=True))

    encoded, fineness = encode_within(planes, len(there), _BUDGET)
    side = images[table.ids[there[0]]].shape[-1]
    pictures = {
        row: Picture(table.ids[row], k, kept, table.likeliest(row), table.warnings[row], scale_bar(None, side))
        for k, (row, kept) in enumerate(zip(there, encoded, strict=False))
    }
    return pictures, min(side, fineness.protein)


def _hang(rows: Sequence[int], pictures: Mapping[int, Picture], title: str, words: str) -> tuple[Shelf, ...]:
    shown = tuple(pictures[row] for row in rows if row in pictures)
    return (Shelf(title, words, shown),) if shown else ()


def _list_places(
    table: _Table, chosen: Mapping[_Key, Sequence[int]], pictures: Mapping[int, Picture]
) -> Iterator[PlacePart]:
    """List the places that are called, the most frequent first."""
    called, taxonomy = table.called[:, table.leaves], table.taxonomy
    counts = called.sum(axis=0)
    for k in np.argsort(-counts, kind="stable").tolist():
        if not counts[k]:
            return
        leaf = taxonomy.leaves[k]
        least = sorted(chosen.get((leaf, "least sure"), ()), key=lambda row: table.probs[row, taxonomy.column[leaf]])
        yield PlacePart(
            node=leaf,
            anchor=f"place-{taxonomy.column[leaf]}",
            samples=int(counts[k]),
            alone=int((called[:, k] & (called.sum(axis=1) == 1)).sum()),
            median=float(np.median(table.probs[called[:, k], taxonomy.column[leaf]])),
            shelves=(
                *_hang(chosen.get((leaf, "surest"), ()), pictures, "Surest", "Most probable first."),
                *_hang(least, pictures, "Least sure", "Least probable first: look at these again."),
            ),
        )


def _list_doubtful(chosen: Mapping[_Key, Sequence[int]], pictures: Mapping[int, Picture]) -> Iterator[Shelf]:
    for kind, title, words in (
        ("unlike", "Unlike what was learned from", "Their answers may be anything."),
        ("unlabelled", "Without a label", "No place reaches its threshold; the likeliest ones are named."),
    ):
        yield from _hang(chosen.get(("", kind), ()), pictures, title, words)
