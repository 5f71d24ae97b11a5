"""Classes: what a label table calls its places, where no taxonomy says so yet, and the flat taxonomy that follows."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpa_hier.data.labels.cells import EMPTY, NOWHERE, plain_number, read_rows, split_cell
from hpa_hier.data.labels.columns import OFF, ON, LabelColumns, find_columns, find_shape
from hpa_hier.data.labels.label_file import read_label_cells
from hpa_hier.errors import UserError
from hpa_hier.files.csv_file import CsvTable
from hpa_hier.files.yaml_file import plain_value
from hpa_hier.taxonomy import Taxonomy
from hpa_hier.taxonomy.fields import NODE_FIELDS, describe_word_problem

_KNOWN = "hpa28"  # the shipped taxonomy whose names are recognised
_FOR_NAMES = str.maketrans({"/": "-", "\\": "-", '"': "'"})  # a label may have these signs and a name may not
_YAML_SIGNS = frozenset(" -_+&()")  # that may stand in a name without quotes
_YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})  # what some readers convert
_HOW = """\
# {origin}
#
# A line below `tree` is a class. In `NAME: {{label: WORD}}` the word is the table's, so keep it; the name may change.
# To group classes, write the name of the group with a colon on a line of its own, and indent its classes below it:
#
#   Nucleus:
#     Nucleoli: {{label: nucleolus, aliases: [NU, No]}}
#
# `aliases` are further words for a class in label tables. With groups there are two levels, `coarse` and `leaf`.
# Then look at the tree:  {check}
"""


@dataclass(frozen=True)
class Classes:
    """The classes of a label table, and what each row says."""

    labels: tuple[str, ...]  # each once, numbers by size, then words by the alphabet
    rows: tuple[tuple[str, ...], ...]  # the labels of each row
    from_headers: bool = False  # the classes are 0/1 columns

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[str]]) -> Classes:
        """Collect the labels of rows; those that differ in case only are one, spelled as most often.

        >>> Classes.from_rows([["ER"], ["er", "Golgi"], ["ER"]]).rows
        (('ER',), ('ER', 'Golgi'), ('ER',))
        """
        spellings: dict[str, Counter[str]] = {}
        for row in rows:
            for label in row:
                spellings.setdefault(_key(label), Counter())[label] += 1
        best = {key: spelled.most_common(1)[0][0] for key, spelled in spellings.items()}
        order = sorted(best.values(), key=_place_in_order)
        return cls(tuple(order), tuple(tuple(dict.fromkeys(best[_key(label)] for label in row)) for row in rows))


def find_classes(table: CsvTable, ignore: Collection[str] = ()) -> Classes:
    """Find the classes of a label table in any of the forms that `read_labels` understands.

    Args:
        table: with its header.
        ignore: columns that are no labels.

    Raises:
        UserError: there is no id column, or neither a label column nor 0/1 columns.
    """
    shape = find_shape(table, ignore)
    if shape.target is not None:
        return Classes.from_rows(_split_cells([row[shape.target] for row in table.rows]))
    hot = _find_hot(table, shape, ignore)
    if not hot:
        raise UserError(
            f"{table.source}:1: neither a column Target or Label nor 0/1 columns; name the column of labels Target"
        )
    absent = [[name] for j, name in hot.items() if not any(row[j].lower() in ON for row in table.rows)]
    rows = [[name for j, name in hot.items() if row[j].lower() in ON] for row in table.rows]
    found = Classes.from_rows([*rows, *absent])
    return Classes(found.labels, found.rows[: len(rows)], from_headers=True)


def read_classes(path: Path, ignore: Collection[str] = ()) -> Classes:
    """Find the classes of a label table, and make sure that a flat taxonomy of them reads it in the same way.

    Raises:
        UserError: the table cannot be read, has no classes, or a cell could mean several things.
    """
    table = read_label_cells(path)
    found = find_classes(table, ignore)
    if not found.labels:
        raise UserError(f"{path}: no label in any of its {len(table.rows):,} rows")
    for label in found.labels:
        if problem := describe_word_problem(label):
            raise UserError(f"{path}: the label {label!r} {problem}")
    taxonomy = Taxonomy.from_text(write_flat(found.labels, "check"))
    columns = find_columns(table, taxonomy, ignore)
    node_of = {str(taxonomy.label(leaf)): leaf for leaf in taxonomy.leaves}
    for row, line, mine in zip(read_rows(table.rows, columns, taxonomy), table.lines, found.rows, strict=True):
        if {*row.nodes} != {node_of[label] for label in mine} or row.unknown:
            meant = " and ".join(map(repr, mine)) or "nothing"
            raise UserError(f"{path}:{line}: means {meant}, and could be read otherwise; separate labels by '|'")
    return found


def write_flat(
    labels: Sequence[str],
    name: str,
    *,
    counts: Mapping[str, int] | None = None,
    exclusive: bool = False,
    notes: Sequence[str] = (),
    how: tuple[str, str] | None = None,
) -> str:
    """Return the text of a flat taxonomy, one leaf a label, to be indented by hand.

    Args:
        labels: of the leaves.
        name: of the taxonomy.
        counts: label → images, written beside each leaf.
        exclusive: each image has exactly one of them.
        notes: comments that stand above the tree.
        how: where the labels are from, and the command that checks the file; adds what can be done with it.
    """
    lines = [_HOW.format(origin=how[0], check=how[1])] if how else []
    lines.append(f"taxonomy: {quote(name)}")
    if exclusive:
        lines.append("exclusive: true  # each image has exactly one class; remove the line if one may show several")
    lines += [f"# {note}" for note in notes]
    lines.append("tree:")
    shipped = Taxonomy.load(_KNOWN)
    for label, leaf in zip(labels, name_labels(labels), strict=True):
        known = None if label.isdecimal() else shipped.find_node(label)
        go = shipped.node(known).go if known else None
        comments = [f"{counts[label]:,} image{'s' * (counts[label] != 1)}"] if counts else []
        comments += [f"{_KNOWN} has it below {shipped.ancestors(known)[0]}"] if known and shipped.parents(known) else []
        fields = f"label: {quote(label)}" + (f", go: {go}" if go else "")
        lines.append(f"  {quote(leaf)}: {{{fields}}}" + (f"  # {'; '.join(comments)}" if comments else ""))
    return "\n".join(lines) + "\n"


def name_labels(labels: Sequence[str]) -> list[str]:
    """Return a node's name for each label: the label itself, where a name can be so and no other label is.

    >>> name_labels(["7", "Golgi", "Nucleus/ER", "open"])
    ['class 7', 'Golgi', 'Nucleus-ER', 'open (class)']
    """
    names: dict[str, str] = {}
    taken = {_key(label) for label in labels}
    for label in labels:
        name = f"class {label}" if label.isdecimal() else label.translate(_FOR_NAMES).strip() or "class"
        name = f"{name} (class)" if name in NODE_FIELDS else name
        first, again = name, 1
        while name != label and _key(name) in taken:
            again += 1
            name = f"{first} ({again})"
        taken.add(_key(name))
        names[label] = name
    return [names[label] for label in labels]


def quote(text: str) -> str:
    """Return text as it stands in YAML, in quotes where it could be taken for something else.

    >>> quote("Rods & rings"), quote("1.0"), quote("no"), quote("it's: a"), quote("Größe")
    ('Rods & rings', "'1.0'", "'no'", "'it''s: a'", 'Größe')
    """
    plain = text[:1].isalpha() and all(sign.isalnum() or sign in _YAML_SIGNS for sign in text) and text == text.strip()
    if (plain or text.isdecimal()) and plain_value(text) in (text, _whole(text)) and text.lower() not in _YAML_WORDS:
        return text
    return "'" + text.replace("'", "''") + "'"


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and str(int(text)) == text else None


def _split_cells(cells: Sequence[str]) -> list[list[str]]:
    """Split label cells; at spaces where they hold numbers, or words that also stand alone in the column."""
    shipped = Taxonomy.load(_KNOWN)
    distinct = [cell for cell in dict.fromkeys(cells) if cell.casefold() not in EMPTY | NOWHERE]
    whole = [part for cell in distinct for part in split_cell(cell, lambda word: False)]
    alone = {_key(part) for part in whole if " " not in part}

    def is_known(word: str) -> bool:
        return _key(word) in alone or (" " in word and shipped.find_node(word) is not None)

    split = {cell: [plain_number(part) for part in split_cell(cell, is_known)] for cell in distinct}
    return [split.get(cell, []) for cell in cells]


def _find_hot(table: CsvTable, shape: LabelColumns, ignore: Collection[str]) -> dict[int, str]:
    """Return the columns of 0 and 1 with a header, each with at least one of them."""
    hot = {}
    for j in shape.extra:
        cells = {row[j].lower() for row in table.rows}
        if table.header[j] and table.header[j] not in ignore and cells <= ON | OFF and cells - {""}:
            hot[j] = table.header[j]
    return hot


def _place_in_order(label: str) -> tuple[bool, int, str, str]:
    return (not label.isdecimal(), len(label) * label.isdecimal(), label.casefold(), label)


def _key(label: str) -> str:
    """Return what labels have in common that differ in case only."""
    return unicodedata.normalize("NFC", label).casefold()
