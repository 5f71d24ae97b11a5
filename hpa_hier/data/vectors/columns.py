"""Vector columns: which column of a table is the id, which are features, and which say where a row is from."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from hpa_hier.data.labels.columns import GROUP_NAMES, ID_NAMES, TARGET_NAMES
from hpa_hier.data.vectors.source import VectorSource, list_names
from hpa_hier.errors import UserError

GAPS = frozenset({"", "na", "nan", "?", "null", "none"})  # how tables write a missing value, in any case
HEAD = 50  # rows that show what a column holds
_NO_NUMBER = "the first column is the id, the others are numbers; convert words to 0/1 columns"
_SERIES = 32  # columns, numbered one after the other, that are taken for the parts of one vector
_COUNTED = 16  # rows from which a column that counts them is no accident

# Headers in small letters and without spaces and signs.
_ROW_NAMES = frozenset({"", "unnamed0", "index", "indexlevel0"})  # what pandas calls a column of row names
_PLACE_NAMES = frozenset(  # where a row is from, or what it shows, in numbers
    {
        *ID_NAMES,
        *_ROW_NAMES,
        *TARGET_NAMES,
        *GROUP_NAMES,
        *("cell", "cellnumber", "cellindex", "object", "objectid", "objectnumber", "imagenumber", "tablenumber"),
        *("plate", "plateid", "well", "wellid", "site", "fov", "field", "batch", "replicate", "topclass"),
    }
)
_FRACTION = re.compile(r"[-+]?\d*[.,]\d+([eE][-+]?\d+)?")
_PLACE_PREFIX = "metadata_"  # CellProfiler's and pycytominer's


@dataclass(frozen=True)
class Column:
    """A column of a table, by its first rows."""

    name: str
    kind: Literal["numbers", "words", "mixed", "empty", "list"]  # list: an array of numbers in each cell
    first: tuple[str, ...]  # its first cells as text


@dataclass(frozen=True)
class Chosen:
    """Which columns are what."""

    key: int
    features: tuple[int, ...]
    notes: tuple[str, ...]


def find_kind(cells: Sequence[str]) -> Literal["numbers", "words", "mixed", "empty"]:
    """Tell what cells of text hold; a few numbers among words are words.

    >>> find_kind(["1", "2e3", "?"]), find_kind(["A1", "1E5", "B2"]), find_kind(["1", "2", "3,5"])
    ('numbers', 'words', 'mixed')
    """
    there = [cell for cell in cells if cell.strip().lower() not in GAPS]
    numbers = sum(map(is_number, there))
    if not there:
        return "empty"
    if numbers == len(there):
        return "numbers"
    return "words" if 2 * numbers < len(there) else "mixed"


def is_number(cell: str) -> bool:
    """Tell whether a cell is a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # which Python reads as 1_000


def choose_columns(
    source: VectorSource,
    columns: Sequence[Column],
    lines: Sequence[int],
    wanted: Collection[str] = (),
    never: Collection[str] = (),
) -> Chosen:
    """Choose the columns of ids and features of a table.

    Args:
        source: what was asked for.
        columns: those of the table, by their first rows.
        lines: of the file, that those rows are in.
        wanted: features that members were trained on; where the table has them, they are features.
        never: columns that are labels.

    Raises:
        UserError: there are no features, or one of them holds words.
    """
    names = [column.name for column in columns]
    if len(names) < 2 or not columns[0].first:
        raise UserError(f"{source.path}: holds no vectors; the first column is the id, the others are numbers")
    asked = source.match_features(names)
    taken = {*(asked or ()), *(j for j, name in enumerate(names) if name in wanted)}
    key = _find_key_column(source, columns, taken)
    picked = [j for j in (range(len(names)) if asked is None else asked) if j != key and names[j] not in never]
    if asked is None:
        lists = [j for j in picked if columns[j].kind == "list"]
        picked, left = (lists, ()) if lists else _pick_numbers(columns, picked, wanted)
    else:
        left = ()
    chosen = tuple(picked)
    _check_features(source, columns, chosen, lines, key)
    notes = (*_describe_left_out(columns, chosen, key, left, never), *_describe_key(columns, key))
    return Chosen(key, chosen, notes)


def find_series(names: Sequence[str]) -> dict[str, list[str]]:
    """Find names that differ in a number at their end alone and are numbered one after the other.

    >>> find_series(["id", "f0", "f1", "f2", "g7"])
    {'f': ['f0', 'f1', 'f2'], 'g': ['g7']}
    """
    numbered: dict[str, dict[int, str]] = defaultdict(dict)
    for name in names:
        found = re.fullmatch(r"(.*?)(\d{1,9})", name, flags=re.DOTALL)
        if found:
            numbered[found[1]][int(found[2])] = name
    return {
        stem: [of[number] for number in sorted(of)] for stem, of in numbered.items() if max(of) - min(of) == len(of) - 1
    }


def _find_key_column(source: VectorSource, columns: Sequence[Column], taken: Collection[int]) -> int:
    """Return the column of ids: the one asked for, else the first that is called so, else the first of all.

    Row names that pandas has written, of a column or behind all others, count as the first.
    """
    names = [column.name for column in columns]
    asked = source.find_key(names)
    if asked is not None:
        return asked
    plain = [re.sub(r"[\W_]+", "", name.lower()) for name in names]
    free = [j for j in range(len(names)) if j not in taken and columns[j].kind not in ("list", "empty")]
    called = [j for name in ID_NAMES for j in free if plain[j] == name]
    named = [j for j in free if plain[j] in _ROW_NAMES and not _counts_rows(columns[j])]
    key = (called or named or free or [0])[0]
    if all(_FRACTION.fullmatch(cell) for cell in columns[key].first):
        raise UserError(
            f"{source.path}: no column of ids among {list_names(names)}; call one of them id, or name it with --per"
        )
    return key


def _pick_numbers(
    columns: Sequence[Column], picked: Sequence[int], wanted: Collection[str]
) -> tuple[list[int], tuple[int, ...]]:
    """Return the columns of numbers that are features, and those of numbers that are not."""
    numbers = [j for j in picked if columns[j].kind in ("numbers", "mixed", "empty")]
    known = [j for j in numbers if columns[j].name in wanted]
    places = {j for j in numbers if j not in known and _tells_place(columns[j])}
    rest = [j for j in numbers if j not in places]
    series = max(find_series([columns[j].name for j in rest]).values(), key=len, default=[])
    if len(series) >= _SERIES and 2 * len(series) > len(rest):
        kept = {*series, *(columns[j].name for j in known)}
        return [j for j in rest if columns[j].name in kept], tuple(j for j in numbers if columns[j].name not in kept)
    return rest, tuple(sorted(places))


def _tells_place(column: Column) -> bool:
    """Tell whether a column of numbers says where a row is from, by its name or because it counts the rows."""
    named = re.sub(r"[\W_]+", "", column.name.lower()) in _PLACE_NAMES
    counts = len(column.first) >= _COUNTED and _counts_rows(column)
    return named or counts or column.name.lower().startswith(_PLACE_PREFIX)


def _counts_rows(column: Column) -> bool:
    """Tell whether a column counts the rows from 0 or 1."""
    rows = range(len(column.first))
    return any(list(column.first) == [f"{first + row}{end}" for row in rows] for first in (0, 1) for end in ("", ".0"))


def _check_features(
    source: VectorSource, columns: Sequence[Column], chosen: Sequence[int], lines: Sequence[int], key: int
) -> None:
    """Raise the UserError of columns that cannot be features, or of none."""
    lists = [j for j in chosen if columns[j].kind == "list"]
    if lists and len(chosen) > 1:
        several = list_names([columns[j].name for j in chosen])
        raise UserError(f"{source.path}: several columns could be the vectors: {several}; name one with --features")
    wrong = [j for j in chosen if columns[j].kind in ("words", "mixed")]
    if not chosen:
        wrong = [j for j in range(len(columns)) if j != key and columns[j].kind == "words"]
    for j in wrong:
        row = next(i for i, cell in enumerate(columns[j].first) if not (_is_gap(cell) or is_number(cell)))
        raise UserError(refuse_cell(source, lines[row], columns[j].first[row], columns[j].name))
    if not chosen:
        raise UserError(
            f"{source.path}: no column of numbers is a feature among {list_names([one.name for one in columns])}; "
            "name them with --features"
        )


def refuse_cell(source: VectorSource, line: int, cell: str, column: str) -> str:
    """Say that a cell of a feature is no number."""
    comma = re.fullmatch(r"[-+]?\d*,\d+([eE][-+]?\d+)?", cell.strip())
    cure = "write decimals with a point" if comma else f"{_NO_NUMBER}, or name the features with --features"
    return f"{source.path}:{line}: {cell[:60]!r} in the column '{column}' is no number; {cure}"


def _describe_left_out(
    columns: Sequence[Column], chosen: Sequence[int], key: int, numbers: Sequence[int], never: Collection[str]
) -> list[str]:
    notes = []
    words = [c.name for j, c in enumerate(columns) if c.kind == "words" and j not in chosen and j != key]
    labels = [column.name for j, column in enumerate(columns) if column.name in never and j != key]
    if words := [name for name in words if name not in labels]:
        notes.append(f"left out, as words and no numbers: {list_names(words)}")
    if numbers:
        last = f"{columns[chosen[0]].name!r} … {columns[chosen[-1]].name!r}" if chosen else ""
        listed = list_names([columns[j].name for j in numbers])
        notes.append(f"left out, as no features beside {last}: {listed} (--features picks others)")
    if labels:
        notes.append(f"left out, as labels: {list_names(labels)}")
    return notes


def _describe_key(columns: Sequence[Column], key: int) -> list[str]:
    plain = re.sub(r"[\W_]+", "", columns[key].name.lower())
    return [] if key == 0 or plain == "id" else [f"ids are taken from the column '{columns[key].name}'"]


def _is_gap(cell: str) -> bool:
    return cell.strip().lower() in GAPS
