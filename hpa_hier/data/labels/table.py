"""Label tables: which nodes each image is annotated with, and the targets that follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hpa_hier.data.labels.cells import RowLabels, read_rows
from hpa_hier.data.labels.columns import LabelColumns, advise_new_tree, find_columns
from hpa_hier.data.labels.groups import describe_groups, find_groups
from hpa_hier.data.labels.ids import find_id, is_valid_id
from hpa_hier.data.labels.image_names import ImageNames
from hpa_hier.data.labels.label_file import read_label_cells
from hpa_hier.data.labels.problems import OnProblem, Problem, stop_at_problems
from hpa_hier.errors import UserError
from hpa_hier.files.csv_file import CsvTable
from hpa_hier.files.remote.path import to_path
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.taxonomy import Taxonomy

_LISTED = 5  # labels that a note names
CURE = "fix the table, or give --on-problem skip to leave these rows out"


@dataclass(frozen=True)
class LabelTable:
    """A label table: one row an image, in the file's order."""

    source: str
    ids: tuple[str, ...]
    nodes: tuple[tuple[str, ...], ...]  # annotated nodes by name, in the taxonomy's order, at any depth
    groups: tuple[str, ...]  # the antibody, or another key that must not cross a split; "" where unknown
    problems: tuple[Problem, ...]  # by kind: what was left out
    skipped: Mapping[str, str]  # ids left out, and why
    extra: dict[str, tuple[str, ...]]  # other columns, as text
    notes: tuple[str, ...] = ()  # what was taken for what

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Targets:
    """What training and evaluation compare with, columns as `taxonomy.nodes`."""

    present: np.ndarray  # (B, N) bool, closed: a node is present where a node below it is
    known: np.ndarray  # (B, N) bool; False where the annotation leaves it open: nothing is trained or counted there


def read_labels(
    path: Path | str,
    taxonomy: Taxonomy,
    on_problem: OnProblem = "stop",
    ignore: Collection[str] = (),
    names: ImageNames | None = None,
) -> LabelTable:
    """Read a label table in any of the forms that people have.

    The header gives the form: `Id,Target` with labels separated by spaces, `ID,Label` with '|', node names instead of
    labels (separated by '|', ';' or ','), or one 0/1 column a label; or one row a label, where ids are repeated. An id
    may be a path or a file's name. A row of zeros, or the label `none`, is an image that shows none of the places. A
    column such as `antibody`, `group` or `gene` becomes the group, else the antibody is taken from each id that is
    `antibody_plate_well_field`. What was taken for what stands in `notes`.

    Args:
        path: a CSV, .parquet or .feather file, or an .h5ad file, of which obs is read.
        taxonomy: gives the labels and the names.
        on_problem: "stop" raises at unknown labels, duplicate or bad ids, rows without a label and, where the
            taxonomy is exclusive, samples of several places; "skip" leaves those rows out, counts them in `problems`
            and says why in `skipped`; columns of unknown 0/1 labels are left out, and not the rows that have them.
        ignore: columns that are no labels, whatever they hold.
        names: of the images that the rows mean; None: a path means its file's name.

    Raises:
        UserError: the table cannot be read, or has problems and `on_problem` is "stop".
    """
    table = read_label_cells(to_path(path))
    columns = find_columns(table, taxonomy, ignore)
    problems: tuple[Problem, ...] = ()
    strange = {j: name for j, name in columns.hot.items() if not taxonomy.find_node(name)}
    if strange:
        hints = tuple(f"{name!r}{did_you_mean(name, taxonomy.words)}" for name in strange.values())
        problems = (Problem("0/1 column that no label or node is called (--ignore-columns leaves it out)", hints),)
        columns = replace(columns, hot={j: name for j, name in columns.hot.items() if j not in strange})
        cure = f"rename it, or, where it is no label, give --ignore-columns {','.join(strange.values())}"
        if on_problem == "stop":
            stop_at_problems(path, problems, cure)
    read = _sort_out(table, columns, taxonomy, names or ImageNames(()))
    problems += read.problems
    cure = CURE if read.any_known else advise_new_tree(path, taxonomy)
    if on_problem == "stop":
        stop_at_problems(path, problems, cure)
    if not read.nodes:
        summary = "; ".join(map(str, problems)) or "the table has a header only"
        more = [] if read.any_known else [cure]
        raise UserError(f"{path}: no usable row among {len(table.rows):,}; {summary}", *more)
    ids, kept = tuple(read.nodes), [table.rows[row] for row in read.first.values()]
    cells = None if columns.group is None else [row[columns.group] for row in kept]
    groups = find_groups(ids, cells)
    extra = {table.header[j]: tuple(row[j] for row in kept) for j in columns.extra}
    grouped = describe_groups(groups, None if columns.group is None else table.header[columns.group])
    notes = (*_describe_columns(table, columns), *read.notes, *((grouped,) if grouped else ()))
    nodes = tuple(read.nodes.values())
    notes += _describe_groups_alone(nodes, taxonomy)
    return LabelTable(str(path), ids, nodes, groups, problems, read.skipped, extra, notes)


@dataclass(frozen=True)
class _Read:
    """A table's usable samples."""

    nodes: dict[str, tuple[str, ...]]  # id → annotated nodes
    first: dict[str, int]  # id → its first row
    problems: tuple[Problem, ...]
    skipped: dict[str, str]
    notes: tuple[str, ...]
    any_known: bool  # at least one label is in the taxonomy, or there is none


def _sort_out(table: CsvTable, columns: LabelColumns, taxonomy: Taxonomy, names: ImageNames) -> _Read:
    """Sort rows into usable samples and problems.

    Equal rows of one id, and rows of its channels' files that agree, are one. Of other rows of one id that agree the
    first is kept; of those that disagree none, for none can be trusted, unless the table has one row a label.
    """
    cells = [row[columns.id] for row in table.rows]
    others = [j for j in range(len(table.header)) if j != columns.id]
    ids, unclear = names.find_ids(
        cells, [table.header[j] for j in others], [[row[j] for j in others] for row in table.rows]
    )
    labels = read_rows(table.rows, columns, taxonomy)
    long = _is_long(ids, labels)
    nodes: dict[str, tuple[str, ...]] = {}
    skipped: dict[str, str] = {}
    first: dict[str, int] = {}  # id → its first row
    unknown: dict[str, list[int]] = {}  # label → lines
    duplicate, bad, empty, several_images = [], [], [], []
    again = 0  # rows that repeat what a row before says
    for i, (sample_id, one, line) in enumerate(zip(ids, labels, table.lines, strict=True)):
        if not is_valid_id(sample_id):
            bad.append(f"{cells[i]!r} (line {line})")
            continue
        if i in unclear:
            skipped.setdefault(sample_id, f"{unclear[i]} (line {line})")
            several_images.append(f"{unclear[i]} (line {line})")
            continue
        before = first.setdefault(sample_id, i)
        if before != i and not long and one == labels[before] and _same_image(table, columns, before, i):
            again += 1
        elif before != i and not long:
            duplicate.append(f"{sample_id} (lines {table.lines[before]} and {line})")
            if one.unknown or one.nodes != nodes.get(sample_id):
                nodes.pop(sample_id, None)
                skipped.setdefault(sample_id, f"duplicate id with other labels (line {line})")
        elif one.unknown:
            skipped[sample_id] = f"unknown label {', '.join(map(repr, one.unknown))} (line {line})"
            for label in one.unknown:
                unknown.setdefault(label, []).append(line)
        elif not (one.nodes or one.nowhere):
            skipped[sample_id] = f"row without a label (line {line})"
            empty.append(f"{sample_id} (line {line})")
        else:
            both = {*nodes.get(sample_id, ()), *one.nodes}
            nodes[sample_id] = tuple(sorted(both, key=taxonomy.column.__getitem__))
    several = []
    for sample_id in [
        sample_id for sample_id, kept in nodes.items() if taxonomy.exclusive and lie_apart(kept, taxonomy)
    ]:
        where = f"(line {table.lines[first[sample_id]]}): {', '.join(nodes[sample_id])}"
        skipped.setdefault(sample_id, f"several places, where the taxonomy is exclusive {where}")
        several.append(f"{sample_id} {where}")
    nodes = {sample_id: kept for sample_id, kept in nodes.items() if sample_id not in skipped}
    kinds = {
        "unknown label": [_describe_unknown(label, lines, taxonomy) for label, lines in unknown.items()],
        "duplicate id": duplicate,
        "id that cannot be a file name": bad,
        "row that fits several images; of folders of a channel each say --channels green=FOLDER": several_images,
        "row without a label; write none where it shows none of the places": empty,
        f"several places, where '{taxonomy.name}' is exclusive and gives each sample one": several,
    }
    problems = tuple(Problem(kind, tuple(items)) for kind, items in kinds.items() if items)
    notes = [f"one row a label: {len(nodes):,} samples in {len(table.rows):,} rows"] if long else []
    changed = [(cell, sample_id) for cell, sample_id in zip(cells, ids, strict=True) if cell != sample_id]
    if changed:
        notes.append(f"{len(changed):,} ids are those of files: {changed[0][0]!r} is {changed[0][1]!r}")
    if again:
        notes.append(f"{again:,} row{'s repeat' if again > 1 else ' repeats'} an id with the same labels")
    notes += _describe_other_words(labels)
    nowhere = sum(not kept for kept in nodes.values())
    if nowhere:
        notes.append(f"{nowhere:,} sample{'s show' if nowhere > 1 else ' shows'} none of the places")
    any_known = not unknown or any(one.nodes for one in labels)
    return _Read(nodes, {name: first[name] for name in nodes}, problems, skipped, tuple(notes), any_known)


def _same_image(table: CsvTable, columns: LabelColumns, before: int, row: int) -> bool:
    """Tell whether two rows of one id are the same row twice, or name two files of it, as those of two channels."""
    first, second = table.rows[before], table.rows[row]
    return first == second or find_id(first[columns.id]) != find_id(second[columns.id])


def _is_long(ids: Sequence[str], labels: Sequence[RowLabels]) -> bool:
    """Tell whether a table has one row a label: no row has two, and ids are often repeated with another label.

    A few repeated ids among many are a mistake, and stay one.
    """
    if any(len(one.nodes) + len(one.unknown) > 1 for one in labels):
        return False
    pairs = {(sample_id, one.nodes, one.unknown) for sample_id, one in zip(ids, labels, strict=True)}
    return len(pairs) - len(set(ids)) > max(2, len(pairs) // 20)


def _describe_columns(table: CsvTable, columns: LabelColumns) -> tuple[str, ...]:
    """Say which columns were taken for ids, labels and groups, where their names leave a doubt."""
    sample_id = table.header[columns.id]
    label = None if columns.target is None else table.header[columns.target]
    plain = sample_id.lower() == "id" and (label is None or label.lower() in ("target", "label"))
    if plain:
        return ()
    what = f"labels from '{label}'" if label else f"labels from {len(columns.hot)} 0/1 columns"
    return (f"ids are taken from the column '{sample_id}', {what}",)


def _describe_groups_alone(nodes: Sequence[tuple[str, ...]], taxonomy: Taxonomy) -> tuple[str, ...]:
    """Say how many samples are annotated with a group only, so that the places below it are unknown."""
    alone = Counter(
        node
        for names in nodes
        for node in names
        if not taxonomy.is_leaf(node) and {*names}.isdisjoint(taxonomy.descendants(node))
    )
    if not alone:
        return ()
    listed = ", ".join(f"{node} ({count:,})" for node, count in alone.most_common(5))
    return (f"annotated as a group, which leaves the places below it unknown: {listed}",)


def _describe_other_words(labels: Sequence[RowLabels]) -> list[str]:
    """Say which labels are neither the name nor the label of the node that they were taken for."""
    rows = Counter((label, node) for one in labels for label, node in one.other_words.items())
    if not rows:
        return []
    listed = [f"{label!r} is {node!r} ({count:,})" for (label, node), count in rows.most_common(_LISTED)]
    more = f" and {len(rows) - _LISTED:,} more" if len(rows) > _LISTED else ""
    return [f"read by other names: {', '.join(listed)}{more}"]


def _describe_unknown(label: str, lines: list[int], taxonomy: Taxonomy) -> str:
    where = f"line {lines[0]}" if len(lines) == 1 else f"{len(lines):,} rows, first line {lines[0]}"
    return f"{label!r} ({where}){'' if label.isdecimal() else did_you_mean(label, taxonomy.words)}"


def lie_apart(nodes: Sequence[str], taxonomy: Taxonomy) -> bool:
    """Tell whether no leaf is below all of the nodes, so that a sample with one leaf cannot show them all."""
    return bool(nodes) and not set.intersection(*(set(taxonomy.leaves_below(node)) for node in nodes))


def targets(nodes: Sequence[Sequence[str]], taxonomy: Taxonomy, below: str = "unknown") -> Targets:
    """Turn annotated nodes into closed targets and say which of them the annotation leaves unknown.

    Closed world: what is not annotated is absent, and by the true-path rule a node is present where one below it is.
    But where a group is annotated and nothing below it, the nodes below are unknown in that row rather than absent,
    unless `below` says otherwise.

    Args:
        nodes: annotated node names of each of B images, at any depth.
        taxonomy: gives columns and ancestors.
        below: unknown or absent, what the nodes below an annotated group are where none of them is annotated.

    Returns:
        `present` (B, N) bool and `known` (B, N) bool, columns as `taxonomy.nodes`.

    >>> tree = Taxonomy.load("hierarchy/hpa28.yaml")
    >>> cells = targets([("Endosomes",), ("Vesicles",)], tree)
    >>> cells.present[0, tree.column["Vesicles"]], cells.known[1, tree.column["Endosomes"]]
    (np.True_, np.False_)
    """
    B, N = len(nodes), len(taxonomy.nodes)
    row = np.repeat(np.arange(B), [len(names) for names in nodes])
    column = np.fromiter((taxonomy.column[name] for names in nodes for name in names), np.int64, count=len(row))
    annotated = np.zeros((B, N), dtype=bool)
    annotated[row, column] = True
    present = taxonomy.close(annotated)
    known = np.ones((B, N), dtype=bool)
    if below == "absent":
        return Targets(present, known)
    for group, children in taxonomy.bottom_up:
        open_rows = np.flatnonzero(annotated[:, group] & ~present[:, children].any(axis=1))
        if len(open_rows):
            lower = taxonomy.closure[:, group].copy()
            lower[group] = False
            known[np.ix_(open_rows, np.flatnonzero(lower))] = False
    known |= present  # a node under two groups may be known from the other one
    for name in taxonomy.virtual:  # nobody annotates them: they are known where everything below them is
        below_it = [taxonomy.column[leaf] for leaf in taxonomy.leaves_below(name)]
        known[:, taxonomy.column[name]] &= present[:, taxonomy.column[name]] | known[:, below_it].all(axis=1)
    return Targets(present, known)
