"""Columnar files, .parquet and .feather, read by pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpa_hier.errors import UserError
from hpa_hier.files.csv_file import CsvTable
from hpa_hier.files.extras import import_extra
from hpa_hier.files.faults.arrays import check_unpacked
from hpa_hier.files.faults.damage import damage_told

FORMATS = {".parquet": "parquet", ".pq": "parquet", ".feather": "feather", ".arrow": "feather"}
_LEAST = 4  # bytes that a cell takes in memory, or more
_FEW_PLACES = frozenset({"", "0", "1"})  # what a column of fractions holds that says yes or no


def open_columnar(path: Path) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Open a file as a pyarrow dataset.

    Raises:
        UserError: pyarrow is missing, or the file is absent or of another format.
    """
    dataset = import_extra("pyarrow.dataset", "parquet", path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    with damage_told(path):
        opened = dataset.dataset(str(path), format=FORMATS[path.suffix.lower()])
        names = opened.schema.names
        check_unpacked(path, opened.count_rows() * len(names) * _LEAST)
    if len({*names}) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{path}: two columns are called '{twice}'; give each its own name")
    return opened


def describe_cells(column: Any) -> tuple[str, ...]:  # noqa: ANN401 - pyarrow has no types
    """Return a column's cells as text: what is missing is "", true and false are 1 and 0."""
    return tuple(map(_describe_cell, column.to_pylist()))


def read_columnar_cells(path: Path) -> CsvTable:
    """Read a file as a table of text, without its columns of lists and of fractions, which are no labels.

    Raises:
        UserError: the file cannot be read.
    """
    with damage_told(path):
        return _read_cells(path)


def _read_cells(path: Path) -> CsvTable:
    from pyarrow import types

    opened = open_columnar(path)
    names = [field.name for field in opened.schema if not (types.is_nested(field.type))]
    table = opened.to_table(columns=names)
    columns = {name: describe_cells(table[name]) for name in names}
    kept = [name for name in names if not types.is_floating(table[name].type) or {*columns[name]} <= _FEW_PLACES]
    rows = tuple(zip(*(columns[name] for name in kept), strict=True))
    return CsvTable(str(path), tuple(kept), rows, tuple(range(1, len(rows) + 1)))


def _describe_cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return "" if value != value else str(int(value)) if value.is_integer() else repr(value)
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value).strip()
