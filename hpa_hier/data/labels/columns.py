"""Label cells: which columns of a table hold ids and labels, and what a row's cells say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hpa_hier.errors import UserError
from hpa_hier.files.csv_file import CsvTable
from hpa_hier.taxonomy import Taxonomy

_ID_NAMES = ("id", "image_id", "imageid", "image", "sample", "sample_id", "name")
_TARGET_NAMES = ("target", "targets", "label", "labels", "predicted", "location", "locations", "class", "classes")
_GROUP_NAMES = ("antibody", "antibody_id", "group")
_OFF = frozenset({"", "0", "0.0", "false"})
_ON = frozenset({"1", "1.0", "true"})
_SEPARATORS = re.compile(r"[|;,]")


@dataclass(frozen=True)
class LabelColumns:
    """Where a label table keeps what, as column numbers."""

    id: int
    target: int | None  # None: one 0/1 column a label
    hot: Mapping[int, str]  # columns of 0 and 1, and their headers
    group: int | None
    extra: tuple[int, ...]  # kept as text


def find_columns(table: CsvTable, taxonomy: Taxonomy) -> LabelColumns:
    """Find the id, label and group columns from the header.

    Raises:
        UserError: there is no id column, or neither a label column nor 0/1 columns named by label or node.
    """
    names = [name.lower() for name in table.header]
    sample_id = _find_first(names, _ID_NAMES)
    if sample_id is None:
        raise UserError(f"{table.source}:1: no id column among {_list_names(table.header)}; name one of them Id")
    target = _find_first(names, _TARGET_NAMES)
    group = _find_first(names, _GROUP_NAMES)
    rest = tuple(j for j in range(len(names)) if j not in (sample_id, target, group))
    if target is not None:
        return LabelColumns(sample_id, target, {}, group, rest)
    if not any(taxonomy.find_node(table.header[j]) for j in rest):
        raise UserError(
            f"{table.source}:1: neither a column Target or Label nor 0/1 columns named by label or node "
            f"of '{taxonomy.name}' among {_list_names(table.header)}"
        )
    hot = {j: table.header[j] for j in rest if taxonomy.find_node(table.header[j]) or _is_hot(table, j)}
    for row, line in zip(table.rows, table.lines, strict=True):
        for j, name in hot.items():
            if row[j].lower() not in _ON | _OFF:
                raise UserError(f"{table.source}:{line}: {row[j]!r} in the 0/1 column {name!r}; write 0 or 1")
    return LabelColumns(sample_id, None, hot, group, tuple(j for j in rest if j not in hot))


def read_row(
    row: tuple[str, ...], columns: LabelColumns, taxonomy: Taxonomy
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a row's annotated nodes, in the taxonomy's order, and its labels that no node has."""
    if columns.target is None:
        labels = [name for j, name in columns.hot.items() if row[j].lower() in _ON]
    else:
        labels = _split_cell(row[columns.target], taxonomy)
    nodes = {taxonomy.find_node(label) for label in labels}
    unknown = tuple(label for label in labels if taxonomy.find_node(label) is None)
    return tuple(sorted((node for node in nodes if node), key=taxonomy.column.__getitem__)), unknown


def _split_cell(cell: str, taxonomy: Taxonomy) -> list[str]:
    """Split a label cell at '|', ';' or ','; else keep it whole where it is a name; else split it at spaces."""
    if _SEPARATORS.search(cell):
        return [part.strip() for part in _SEPARATORS.split(cell) if part.strip()]
    parts = cell.split()
    whole = taxonomy.find_node(cell) or not all(part.isdecimal() or taxonomy.find_node(part) for part in parts)
    return [cell] if whole and len(parts) > 1 else parts  # a name with spaces, or one that should have been


def _find_first(names: list[str], wanted: tuple[str, ...]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _is_hot(table: CsvTable, column: int) -> bool:
    """Tell whether a column under an unknown header is 0/1: a label that the taxonomy lacks, not to be dropped."""
    cells = {row[column].lower() for row in table.rows}
    return bool(cells & _ON) and cells <= _ON | _OFF


def _list_names(header: tuple[str, ...]) -> str:
    shown = ", ".join(repr(name[:40]) for name in header[:8])
    return shown + (f" and {len(header) - 8} more" if len(header) > 8 else "")
