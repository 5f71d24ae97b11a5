"""Label cells: what the cells of one row say about its sample."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hpa_hier.data.labels.columns import ON, LabelColumns
from hpa_hier.taxonomy import Taxonomy

EMPTY = frozenset({"", "nan", "na", "n/a", "null", "<na>", "-", "?"})  # a label cell that says nothing
NOWHERE = frozenset({"none", "negative"})  # a label cell that says: in none of the places
_SEPARATORS = re.compile(r"[|;,\n]")
_RARE_SEPARATORS = re.compile(r"\s*[/+]\s*|\s+(?:&|and)\s+")  # between labels, where what they separate is known
_FLOAT = re.compile(r"(\d+)\.0*")  # what pandas and numpy make of a column of numbers with a gap


@dataclass(frozen=True)
class RowLabels:
    """What a row's cells say."""

    nodes: tuple[str, ...]  # annotated, in the taxonomy's order
    unknown: tuple[str, ...]  # labels that no node has
    nowhere: bool  # the row says that the image shows none of the places
    other_words: dict[str, str] = field(default_factory=dict)  # labels that are neither name nor label → their node


def read_rows(rows: Sequence[Sequence[str]], columns: LabelColumns, taxonomy: Taxonomy) -> list[RowLabels]:
    """Read each row's labels.

    >>> columns = LabelColumns(id=0, target=1, hot={}, group=None, extra=())
    >>> read_rows([("a", "Golgi; 0")], columns, Taxonomy.load("hpa28"))[0].nodes
    ('Nucleoplasm', 'Golgi apparatus')
    """
    if columns.target is None:
        hot = [[name for j, name in columns.hot.items() if row[j].lower() in ON] for row in rows]
        return [_name_nodes(labels, taxonomy, nowhere=not labels) for labels in hot]
    cells = [row[columns.target] for row in rows]
    read = {cell: read_cell(cell, taxonomy) for cell in dict.fromkeys(cells)}  # many rows have the same labels
    return [read[cell] for cell in cells]


def read_cell(cell: str, taxonomy: Taxonomy) -> RowLabels:
    """Read one cell of labels, or the name of a folder of images that show them."""
    word = cell.casefold()
    if word in EMPTY | NOWHERE and not taxonomy.find_node(cell):
        return RowLabels((), (), nowhere=word in NOWHERE)
    return _name_nodes(split_cell(cell, lambda label: find_label(label, taxonomy) is not None), taxonomy)


def find_label(label: str, taxonomy: Taxonomy) -> str | None:
    """Return a label's node, of the `16.0` that pandas makes of 16 too; None where there is none."""
    return taxonomy.find_node(label) or taxonomy.find_node(plain_number(label))


def plain_number(label: str) -> str:
    """Return a label without the `.0` that pandas puts behind a whole number.

    >>> plain_number("16.0"), plain_number("007"), plain_number("1.5")
    ('16', '007', '1.5')
    """
    number = _FLOAT.fullmatch(label)
    return number[1] if number else label


def split_cell(cell: str, is_known: Callable[[str], bool]) -> list[str]:
    """Split a label cell at '|', ';' or ','; else keep it whole where it is a name; else split it at spaces.

    A list as Python prints it, such as ['Cytosol', 'Nucleoli'], is read without its brackets and quotes.

    Args:
        cell: the text.
        is_known: tells whether a word is a label, a name or an alias.
    """
    if is_known(cell):
        return [cell]
    if cell[:1] + cell[-1:] in ("[]", "()", "{}"):
        inside = cell[1:-1].strip()
        parts = [part for part in (one.strip().strip("'\"") for one in _SEPARATORS.split(inside)) if part]
        return parts if len(parts) > 1 or not parts else split_cell(parts[0], is_known)
    if _SEPARATORS.search(cell):
        return [part.strip() for part in _SEPARATORS.split(cell) if part.strip()]
    parts = cell.split()
    if all(part.isdecimal() or _FLOAT.fullmatch(part) or is_known(part) for part in parts):
        return parts
    parts = _RARE_SEPARATORS.split(cell)
    return parts if all(map(is_known, parts)) else [cell]  # else a name, or meant to be one


def _name_nodes(labels: Sequence[str], taxonomy: Taxonomy, *, nowhere: bool = False) -> RowLabels:
    found = {label: find_label(label, taxonomy) for label in labels}
    nodes = sorted({node for node in found.values() if node}, key=taxonomy.column.__getitem__)
    other = {label: node for label, node in found.items() if node and not _is_plain(label, taxonomy, node)}
    return RowLabels(tuple(nodes), tuple(label for label in labels if not found[label]), nowhere, other)


def _is_plain(label: str, taxonomy: Taxonomy, node: str) -> bool:
    return label.casefold() == node.casefold() or taxonomy.node(node).label in (label, plain_number(label))
