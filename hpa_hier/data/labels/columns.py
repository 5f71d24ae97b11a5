"""Label cells: which columns of a table hold ids and labels, and what a row's cells say."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hpa_hier.errors import UserError
from hpa_hier.files.csv_file import CsvTable
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.taxonomy import Taxonomy

# Headers in small letters and without blanks and signs; the first that a table has is taken.
_ID_NAMES = (
    *("id", "imageid", "sampleid", "image", "sample", "imagename", "filename", "file", "filepath", "path"),
    *("imagepath", "imagefile", "cellid", "name"),
)
_TARGET_NAMES = (
    *("target", "targets", "label", "labels", "predicted", "location", "locations", "localization", "localisation"),
    *("localizations", "localisations", "subcellularlocation", "subcellularlocalization", "compartment"),
    *("compartments", "organelle", "organelles", "place", "places", "class", "classes"),
)
_GROUP_NAMES = ("antibody", "antibodyid", "group", "gene", "geneid", "ensemblid", "protein", "proteinid")
_OFF = frozenset({"", "0", "0.0", "false", "no"})
_ON = frozenset({"1", "1.0", "true", "yes", "x"})
_EMPTY = frozenset({"", "nan", "na", "n/a", "null", "<na>"})  # a label cell that says nothing
_NOWHERE = frozenset({"none", "negative"})  # a label cell that says: in none of the places
_SEPARATORS = re.compile(r"[|;,]")
_FLOAT = re.compile(r"(\d+)\.0+")  # what pandas makes of a column of numbers with a gap


@dataclass(frozen=True)
class LabelColumns:
    """Where a label table keeps what, as column numbers."""

    id: int
    target: int | None  # None: one 0/1 column a label
    hot: Mapping[int, str]  # columns of 0 and 1, and their headers
    group: int | None
    extra: tuple[int, ...]  # kept as text


def find_columns(table: CsvTable, taxonomy: Taxonomy, ignore: Collection[str] = ()) -> LabelColumns:
    """Find the id, label and group columns from the header.

    Args:
        table: with its header.
        taxonomy: gives the labels and the names.
        ignore: columns that are no labels, whatever they hold.

    Raises:
        UserError: there is no id column, or neither a label column nor 0/1 columns named by label or node.
    """
    for name in ignore:
        if name not in table.header:
            raise UserError(
                f"--ignore-columns {name}: {table.source} has no such column{did_you_mean(name, table.header)}"
            )
    names = ["" if name in ignore else re.sub(r"[\W_]+", "", name.lower()) for name in table.header]
    sample_id = _find_first(names, _ID_NAMES)
    if sample_id is None:
        raise UserError(f"{table.source}:1: no id column among {_list_names(table.header)}; name one of them Id")
    target = _find_first(names, _TARGET_NAMES)
    group = _find_first(names, _GROUP_NAMES)
    rest = tuple(j for j in range(len(names)) if j not in (sample_id, target, group))
    if target is not None:
        return LabelColumns(sample_id, target, {}, group, rest)
    named = {j: table.header[j] for j in rest if table.header[j] not in ignore}
    if not any(taxonomy.find_node(name) for name in named.values()):
        raise UserError(
            f"{table.source}:1: neither a column Target or Label nor 0/1 columns named by label or node "
            f"of '{taxonomy.name}' among {_list_names(table.header)}"
        )
    hot = {j: name for j, name in named.items() if taxonomy.find_node(name) or (name and _is_hot(table, j))}
    for row, line in zip(table.rows, table.lines, strict=True):
        for j, name in hot.items():
            if row[j].lower() not in _ON | _OFF:
                raise UserError(f"{table.source}:{line}: {row[j]!r} in the 0/1 column {name!r}; write 0 or 1")
    return LabelColumns(sample_id, None, hot, group, tuple(j for j in rest if j not in hot))


@dataclass(frozen=True)
class RowLabels:
    """What a row's cells say."""

    nodes: tuple[str, ...]  # annotated, in the taxonomy's order
    unknown: tuple[str, ...]  # labels that no node has
    nowhere: bool  # the row says that the image shows none of the places


def read_row(row: tuple[str, ...], columns: LabelColumns, taxonomy: Taxonomy) -> RowLabels:
    """Read a row's labels."""
    if columns.target is None:
        labels = [name for j, name in columns.hot.items() if row[j].lower() in _ON]
        nowhere = not labels
    else:
        cell = row[columns.target]
        labels = _split_cell(cell, taxonomy)
        nowhere = cell.casefold() in _NOWHERE and not taxonomy.find_node(cell)
        labels = [] if nowhere or cell.casefold() in _EMPTY else labels
    found = {
        label: taxonomy.find_node(_FLOAT.sub(r"\1", label) if _FLOAT.fullmatch(label) else label) for label in labels
    }
    nodes = sorted({node for node in found.values() if node}, key=taxonomy.column.__getitem__)
    return RowLabels(tuple(nodes), tuple(label for label in labels if not found[label]), nowhere)


def _split_cell(cell: str, taxonomy: Taxonomy) -> list[str]:
    """Split a label cell at '|', ';' or ','; else keep it whole where it is a name; else split it at spaces.

    A list as Python prints it, such as ['Cytosol', 'Nucleoli'], is read without its brackets and quotes.
    """
    if cell[:1] + cell[-1:] in ("[]", "()"):
        cell = cell[1:-1]
        return [part for part in (one.strip().strip("'\"") for one in _SEPARATORS.split(cell)) if part]
    if taxonomy.find_node(cell):
        return [cell]
    if _SEPARATORS.search(cell):
        return [part.strip() for part in _SEPARATORS.split(cell) if part.strip()]
    parts = cell.split()
    labels = all(part.isdecimal() or _FLOAT.fullmatch(part) or taxonomy.find_node(part) for part in parts)
    return parts if labels or len(parts) < 2 else [cell]  # a name with spaces, or one that should have been


def _find_first(names: list[str], wanted: tuple[str, ...]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _is_hot(table: CsvTable, column: int) -> bool:
    """Tell whether a column under an unknown header is 0/1: a label that the taxonomy lacks, not to be dropped."""
    cells = {row[column].lower() for row in table.rows}
    return bool(cells & _ON) and cells <= _ON | _OFF


def _list_names(header: tuple[str, ...]) -> str:
    shown = ", ".join(repr(name[:40]) for name in header[:8])
    return shown + (f" and {len(header) - 8} more" if len(header) > 8 else "")
