"""Label tables: which nodes each image is annotated with, and the targets that follow."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpa_hier.data.labels.columns import LabelColumns, find_columns, read_row
from hpa_hier.data.labels.problems import OnProblem, Problem, stop_at_problems
from hpa_hier.errors import UserError
from hpa_hier.files.csv_file import CsvTable, read_csv
from hpa_hier.taxonomy import Taxonomy

_ID = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,128}")
_ATLAS_ID = re.compile(r"(\d+)_[A-Za-z0-9]+_[A-P]\d{1,2}_\d+(_[A-Za-z0-9]+)?")  # antibody_plate_well_field[_crop]
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

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Targets:
    """What training and evaluation compare with, columns as `taxonomy.nodes`."""

    present: np.ndarray  # (B, N) bool, closed: a node is present where a node below it is
    known: np.ndarray  # (B, N) bool; False where the annotation leaves it open: nothing is trained or counted there


def is_valid_id(sample_id: str) -> bool:
    """Tell whether an id can be part of a file name: letters, digits, `.`, `_`, `-`, at most 128, no leading dot."""
    return _ID.fullmatch(sample_id) is not None


def parse_antibody(sample_id: str) -> str:
    """Return the antibody of an atlas id, or "".

    >>> parse_antibody("10580_1610_C1_1"), parse_antibody("800_A6_1")
    ('10580', '')
    """
    match = _ATLAS_ID.fullmatch(sample_id)
    return match.group(1) if match else ""


def read_labels(path: Path | str, taxonomy: Taxonomy, on_problem: OnProblem = "stop") -> LabelTable:
    """Read a label table in any of the forms that people have.

    The header gives the form: `Id,Target` with labels separated by spaces, `ID,Label` with '|', node names instead of
    labels (separated by '|' or ';'), or one 0/1 column a label. A column `antibody` or `group` becomes the
    group; otherwise the antibody is taken from the ids where every id is `antibody_plate_well_field`.

    Args:
        path: the CSV file.
        taxonomy: gives the labels and the names.
        on_problem: "stop" raises at unknown labels, duplicate or bad ids and rows without a label; "skip" leaves those
            rows out, counts them in `problems` and says why in `skipped`.

    Raises:
        UserError: the table cannot be read, or has problems and `on_problem` is "stop".
    """
    table = read_csv(Path(path))  # by hand: pandas neither names the line of a mistake nor leaves 007 alone
    columns = find_columns(table, taxonomy)
    rows, problems, skipped = _sort_out(table, columns, taxonomy)
    if on_problem == "stop":
        stop_at_problems(path, problems, CURE)
    kept = [table.rows[i] for i in rows]
    if not kept:
        summary = "; ".join(map(str, problems)) or "the table has a header only"
        raise UserError(f"{path}: no usable row among {len(table.rows):,}; {summary}")
    ids = tuple(row[columns.id] for row in kept)
    if columns.group is None:
        groups = tuple(map(parse_antibody, ids))
        groups = groups if all(groups) else ("",) * len(ids)
    else:
        groups = tuple(row[columns.group] for row in kept)
    extra = {table.header[j]: tuple(row[j] for row in kept) for j in columns.extra}
    return LabelTable(str(path), ids, tuple(rows.values()), groups, problems, skipped, extra)


def _sort_out(
    table: CsvTable, columns: LabelColumns, taxonomy: Taxonomy
) -> tuple[dict[int, tuple[str, ...]], tuple[Problem, ...], dict[str, str]]:
    """Return the usable rows' nodes by row number, the problems by kind, and why ids were left out.

    Of rows of one id that agree the first is kept; of those that disagree none, for none can be trusted.
    """
    rows: dict[int, tuple[str, ...]] = {}
    skipped: dict[str, str] = {}
    first: dict[str, int] = {}  # id → its first row
    unknown: dict[str, list[int]] = {}  # label → lines
    duplicate, bad, empty = [], [], []
    for i, (row, line) in enumerate(zip(table.rows, table.lines, strict=True)):
        sample_id = row[columns.id]
        nodes, strange = read_row(row, columns, taxonomy)
        if not is_valid_id(sample_id):
            bad.append(f"{sample_id!r} (line {line})")
        elif (before := first.setdefault(sample_id, i)) != i:
            duplicate.append(f"{sample_id} (lines {table.lines[before]} and {line})")
            if strange or nodes != rows.get(before):
                rows.pop(before, None)
                skipped.setdefault(sample_id, f"duplicate id with other labels (line {line})")
        elif strange:
            skipped[sample_id] = f"unknown label {', '.join(map(repr, strange))} (line {line})"
            for label in strange:
                unknown.setdefault(label, []).append(line)
        elif not nodes:
            skipped[sample_id] = f"row without a label (line {line})"
            empty.append(f"{sample_id} (line {line})")
        else:
            rows[i] = nodes
    kinds = {
        "unknown label": [_describe_lines(label, lines) for label, lines in unknown.items()],
        "duplicate id": duplicate,
        "id that cannot be a file name": bad,
        "row without a label": empty,
    }
    return rows, tuple(Problem(kind, tuple(items)) for kind, items in kinds.items() if items), skipped


def _describe_lines(label: str, lines: list[int]) -> str:
    where = f"line {lines[0]}" if len(lines) == 1 else f"{len(lines):,} rows, first line {lines[0]}"
    return f"{label!r} ({where})"


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
