"""Score tables: another model's scores as CSV, read and checked, and joined with others'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from hpa_hier.data.labels.ids import ID_RULE, find_id, is_valid_id
from hpa_hier.ensemble.scores.scores import Scores
from hpa_hier.errors import UserError
from hpa_hier.files.csv_file import CsvTable, NumberTable, read_csv, read_plain_numbers
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.metrics.arrays import Bools
from hpa_hier.metrics.logistic import logit
from hpa_hier.taxonomy import Taxonomy

ScoreKind = Literal["probs", "logits"]
NEAREST_TO_SURE = 1e-5  # probabilities are kept this far from 0 and 1: tables round, and a logit must be finite


@dataclass(frozen=True)
class JoinedScores:
    """Tables of several models over the samples that can be answered for."""

    members: tuple[Scores, ...]  # E scores of the same samples, zeros where a model does not know a sample
    available: Bools  # (E, B) which model knows which sample
    unanswered: tuple[tuple[str, str], ...]  # ids for which no model answers for some leaf, and that leaf

    @property
    def ids(self) -> tuple[str, ...]:
        """The B samples, sorted."""
        return self.members[0].ids


def read_scores(name: str, path: Path, kind: ScoreKind, taxonomy: Taxonomy) -> Scores:
    """Read a model's scores: the first column holds ids, the others are named by nodes (or by their labels).

    What the numbers are (`kind`) is given by the user, never guessed.

    Raises:
        UserError: a column is no node, an id appears twice, a number is none or out of range, or nothing is there.
    """
    table = read_plain_numbers(path)
    if table is None or not _is_sound(table, kind):
        table = _read_cells(path, kind)
    nodes = _nodes(path, table.columns, taxonomy)
    values = table.values if kind == "logits" else logit(table.values.clip(NEAREST_TO_SURE, 1 - NEAREST_TO_SURE))
    return Scores(name, tuple(map(find_id, table.ids)), nodes, values)


def _is_sound(table: NumberTable, kind: ScoreKind) -> bool:
    low, high = (0, 1) if kind == "probs" else (-np.inf, np.inf)
    in_range = np.isfinite(table.values) & (table.values >= low) & (table.values <= high)
    ids = set(map(find_id, table.ids))
    return bool(in_range.all()) and len(ids) == len(table.ids) and all(map(is_valid_id, ids))


def _read_cells(path: Path, kind: ScoreKind) -> NumberTable:
    """Read a table cell by cell, and name the place of the first one that is wrong."""
    table = read_csv(path)
    if not table.rows:
        raise UserError(f"{path}: holds no scores, only a header; give one row a sample")
    if len(table.header) < 2:
        raise UserError(f"{path}:1: holds only the column '{table.header[0]}'; add one column a node")
    ids, columns = _ids(path, table), table.header[1:]
    values = np.array([[_number(cell) for cell in row[1:]] for row in table.rows])
    for row, column in np.argwhere(~np.isfinite(values))[:1]:
        raise UserError(
            f"{path}:{table.lines[row]}: '{table.rows[row][column + 1]}' of '{columns[column]}' for '{ids[row]}' is no "
            "finite number; fix it, or leave the row out: a model need not know every sample"
        )
    for row, column in np.argwhere((values < 0) | (values > 1))[: kind == "probs"]:
        raise UserError(
            f"{path}:{table.lines[row]}: probability {values[row, column]:g} of '{columns[column]}' for '{ids[row]}' "
            "is outside [0, 1]; fix it, or fit with --score-kind logits where the tables hold those"
        )
    return NumberTable(ids, columns, values)


def join_tables(tables: Sequence[Scores], taxonomy: Taxonomy, ids: Sequence[str] | None = None) -> JoinedScores:
    """Lay models' scores out over one list of samples.

    Args:
        tables: rows in any order, each with its own ids and nodes.
        taxonomy: the label tree.
        ids: the samples wanted; None: all that any model knows.

    Raises:
        UserError: nothing is left.
    """
    wanted = sorted({sample for one in tables for sample in one.ids} if ids is None else set(ids))
    members, available = [], np.zeros((len(tables), len(wanted)), bool)
    covered = np.zeros((len(wanted), len(taxonomy.nodes)), bool)
    for e, one in enumerate(tables):
        row = {sample: i for i, sample in enumerate(one.ids)}
        place = np.array([row.get(sample, -1) for sample in wanted], np.intp)
        available[e] = place >= 0
        members.append(np.where(available[e][:, None], one.logits[place], 0.0))
        covered[:, [taxonomy.column[node] for node in one.nodes]] |= available[e][:, None]
    leaves = [taxonomy.column[leaf] for leaf in taxonomy.leaves]
    whole = covered[:, leaves].all(axis=1)
    lost = [(wanted[i], taxonomy.leaves[int(np.argmin(covered[i, leaves]))]) for i in np.flatnonzero(~whole)]
    if not whole.any():
        why = f"; no table answers for the leaf '{lost[0][1]}' of '{lost[0][0]}'" if lost else ""
        raise UserError(f"no sample is left that the score tables answer for in every leaf{why}")
    names, both = tuple(wanted[i] for i in np.flatnonzero(whole)), zip(tables, members, strict=True)
    scores = tuple(Scores(one.name, names, one.nodes, logits[whole]) for one, logits in both)
    return JoinedScores(scores, available[:, whole], tuple(lost))


def describe_coverage(tables: Sequence[Scores], samples: int, taxonomy: Taxonomy, available: Bools) -> list[str]:
    """Describe which models cover only some leaves, or know only some samples."""
    lines = []
    for one, known in zip(tables, available, strict=True):
        leaves = sum(node in one.nodes for node in taxonomy.leaves)
        partly = []
        if leaves < len(taxonomy.leaves):
            partly.append(f"{leaves} of {len(taxonomy.leaves)} leaves")
        if int(known.sum()) < samples:
            partly.append(f"{int(known.sum()):,} of {samples:,} samples")
        if partly:
            lines.append(f"member '{one.name}' answers for {' and '.join(partly)}; elsewhere the others speak")
    return lines


def _nodes(path: Path, columns: Sequence[str], taxonomy: Taxonomy) -> tuple[str, ...]:
    nodes: list[str] = []
    for column in columns:
        node = column if column in taxonomy.column else taxonomy.find_node(column)
        if node is None:
            hint = did_you_mean(column, taxonomy.nodes) or f"; nodes are {', '.join(taxonomy.nodes[:4])}, …"
            raise UserError(f"{path}:1: column '{column}' is no node of {taxonomy.source}{hint}")
        if node in nodes:
            other = columns[nodes.index(node)]
            raise UserError(f"{path}:1: columns '{other}' and '{column}' are both '{node}'; keep one")
        nodes.append(node)
    return tuple(nodes)


def _ids(path: Path, table: CsvTable) -> tuple[str, ...]:
    first: dict[str, int] = {}
    for line, row in zip(table.lines, table.rows, strict=True):
        sample = find_id(row[0])
        if not is_valid_id(sample):
            raise UserError(f"{path}:{line}: '{sample[:80]}' is no id; {ID_RULE}")
        if sample in first:
            raise UserError(f"{path}:{line}: the id '{sample}' is in line {first[sample]} already; keep one")
        first[sample] = line
    return tuple(first)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
