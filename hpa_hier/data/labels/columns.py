"""Label columns: which columns of a table hold ids, labels, groups, and what else."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from hpa_hier.data.labels.ids import find_id
from hpa_hier.errors import UserError
from hpa_hier.files.csv_file import CsvTable
from hpa_hier.files.shell import command
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.taxonomy import Taxonomy

# Headers in small letters and without spaces and signs; the first that a table has is taken.
ID_NAMES = (
    *("id", "imageid", "sampleid", "image", "sample", "imagename", "filename", "file", "filepath", "path"),
    *("imagepath", "imagefile", "outputprefix", "cellid", "name"),
)
TARGET_NAMES = (
    *("target", "targets", "label", "labels", "predicted", "location", "locations", "localization", "localisation"),
    *("localizations", "localisations", "subcellularlocation", "subcellularlocalization", "compartment"),
    *("subcellularlocations", "subcellularlocalisation", "compartments", "organelle", "organelles"),
    *("place", "places", "class", "classes", "classname", "category", "annotation", "annotations"),
)
GROUP_NAMES = ("antibody", "antibodyid", "group", "gene", "geneid", "ensemblid", "protein", "proteinid")
_INDEX_NAMES = frozenset({"", "unnamed0", "index", "x"})  # what pandas and R call the column of row names
OFF = frozenset({"", "0", "0.0", "0,0", "false", "f", "no", "n", "nan", "na", "-"})
ON = frozenset({"1", "1.0", "1,0", "true", "t", "yes", "y", "x", "+"})


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
    found = find_shape(table, ignore)
    if found.target is not None:
        return found
    named = {j: table.header[j] for j in found.extra if table.header[j] not in ignore}
    if not any(taxonomy.find_node(name) for name in named.values()):
        raise UserError(
            f"{table.source}:1: neither a column Target or Label nor 0/1 columns named by label or node "
            f"of '{taxonomy.name}' among {_list_names(table.header)}; {advise_new_tree(table.source, taxonomy)}"
        )
    words = {word.casefold() for word in (*taxonomy.nodes, *(node.label or "" for node in taxonomy.entries.values()))}
    hot = {  # a column called as a node is one of labels; one called by an alias may be of something else, as `actin`
        j: name
        for j, name in named.items()
        if name and (is_hot(table, j) or (name.casefold() in words and taxonomy.find_node(name)))
    }
    hot |= {j: name for j, name in named.items() if taxonomy.find_node(name) and _is_off(table, j)}
    hot = {j: hot[j] for j in sorted(hot)}
    for row, line in zip(table.rows, table.lines, strict=True):
        for j, name in hot.items():
            if row[j].lower() not in ON | OFF:
                raise UserError(f"{table.source}:{line}: {row[j]!r} in the 0/1 column {name!r}; write 0 or 1")
    return LabelColumns(found.id, None, hot, found.group, tuple(j for j in found.extra if j not in hot))


def advise_new_tree(path: object, taxonomy: Taxonomy, images: Path | None = None) -> str:
    """Say what to do where a table, or the class folders of images, have none of the places of a tree."""
    new = command("taxonomy", "new", labels=str(path), images=images)
    return f"none of its labels is in '{taxonomy.name}': give --taxonomy with its own tree, which `{new}` writes"


def find_shape(table: CsvTable, ignore: Collection[str] = ()) -> LabelColumns:
    """Find the id, label and group columns; where there is no label column, 0/1 columns are still among the others."""
    for name in ignore:
        if name not in table.header:
            raise UserError(
                f"--ignore-columns {name}: {table.source} has no such column{did_you_mean(name, table.header)}"
            )
    names = [None if name in ignore else re.sub(r"[\W_]+", "", name.lower()) for name in table.header]
    target = next((names.index(name) for name in TARGET_NAMES if name in names), None)
    group = next((names.index(name) for name in GROUP_NAMES if name in names), None)
    others = [j for j, name in enumerate(names) if name is not None and name not in (*TARGET_NAMES, *GROUP_NAMES)]
    sample_id = _find_id_column(table, names, others)
    if sample_id is None:
        raise UserError(
            f"{table.source}:1: no id column among {_list_names(table.header)}; name one of them Id, in the first line"
        )
    rest = tuple(j for j in range(len(names)) if j not in (sample_id, target, group))
    return LabelColumns(sample_id, target, {}, group, rest)


def is_hot(table: CsvTable, column: int) -> bool:
    """Tell whether a column is 0/1, with at least one 1."""
    cells = {row[column].lower() for row in table.rows}
    return bool(cells & ON) and cells <= ON | OFF


def _is_off(table: CsvTable, column: int) -> bool:
    return {row[column].lower() for row in table.rows} <= OFF


def _find_id_column(table: CsvTable, names: list[str | None], others: list[int]) -> int | None:
    """Return the column of ids: the first that is called so and tells rows apart; else the only one that could be.

    A column that numbers the rows is one only where there is no other.
    """
    called = [names.index(name) for name in ID_NAMES if name in names and names.index(name) in others]
    counts = [j for j in others if _numbers_rows(table, j)]
    likely = [j for j in called if j not in counts] or called
    if likely:
        files = [j for j in likely if _tells_rows_apart(table, j) and _holds_files(table, j)]
        return likely[0] if _tells_rows_apart(table, likely[0]) or not files else files[0]
    row_names = [j for j in others if names[j] in _INDEX_NAMES and j not in counts]
    single = [j for j in others if j not in counts and _tells_rows_apart(table, j) and not _holds_fractions(table, j)]
    return next((columns[0] for columns in (row_names, single) if len(columns) == 1), None)


def _numbers_rows(table: CsvTable, column: int) -> bool:
    """Tell whether a column counts the rows from 0 or 1."""
    cells = [row[column] for row in table.rows]
    return len(cells) > 1 and any(cells == [str(first + i) for i in range(len(cells))] for first in (0, 1))


def _tells_rows_apart(table: CsvTable, column: int) -> bool:
    cells = [row[column] for row in table.rows]
    return all(cells) and len(set(cells)) == len(cells) > 0


def _holds_fractions(table: CsvTable, column: int) -> bool:
    """Tell whether a column is of measurements, each of which may well occur once."""
    return all(re.fullmatch(r"[-+]?\d*[.,]\d+([eE][-+]?\d+)?", row[column]) for row in table.rows)


def _holds_files(table: CsvTable, column: int) -> bool:
    return all(find_id(row[column]) != row[column] for row in table.rows)


def _list_names(header: tuple[str, ...]) -> str:
    shown = ", ".join(repr(name[:40]) for name in header[:8])
    return shown + (f" and {len(header) - 8} more" if len(header) > 8 else "")
