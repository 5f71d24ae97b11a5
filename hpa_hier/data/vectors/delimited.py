"""Vectors in text tables: .csv, .tsv and .txt, also as .gz, read in blocks of rows."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import numpy as np

from hpa_hier.data.vectors.columns import GAPS, HEAD, Chosen, Column, choose_columns, find_kind, is_number, refuse_cell
from hpa_hier.data.vectors.growing import GrowingRows
from hpa_hier.data.vectors.source import Rows, VectorSource, count_block_rows
from hpa_hier.errors import UserError
from hpa_hier.files.csv_file import MAX_BYTES, find_delimiter, read_csv
from hpa_hier.files.text_file import is_gzip

if TYPE_CHECKING:
    import pandas as pd

_MISSING = [form for word in GAPS for form in {word, word.upper(), word.title(), "NaN"}]


def read_delimited(source: VectorSource, wanted: Collection[str] = (), never: Collection[str] = ()) -> Rows:
    """Read a text table: by pandas where it is plain, else cell by cell, which names the line of a mistake.

    Args:
        source: the file, and what is asked of it.
        wanted: features that members were trained on.
        never: columns that are labels.

    Raises:
        UserError: no such file, no numbers, or cells that are none.
    """
    too_large = source.path.is_file() and source.path.stat().st_size > MAX_BYTES
    try:
        found = _read_plain(source, wanted, never)
    except UserError:
        if too_large:
            raise
        found = None  # said again, with the file's line
    if found is not None:
        return found
    if too_large:
        raise UserError(
            f"{source.path}: no plain table of numbers; a table above {MAX_BYTES >> 20} MiB has a first line of "
            "names, rows of as many cells, and no words in columns of numbers"
        )
    return _read_cells(source, wanted, never)


def _read_plain(source: VectorSource, wanted: Collection[str], never: Collection[str]) -> Rows | None:
    """Read a table by pandas; None where it is not plain, or something is wrong with it."""
    import pandas as pd

    try:
        delimiter, header = _read_header(source.path)
        if len({*header}) < max(2, len(header)):
            return None
        settings = {
            **{"sep": delimiter, "names": header, "header": 0, "keep_default_na": False, "encoding": "utf-8-sig"},
            "compression": "gzip" if is_gzip(source.path) else None,
        }
        head = pd.read_csv(source.path, nrows=HEAD, dtype=str, na_filter=False, **settings)
        if not _is_plain(head, header):
            return None
        columns = [_describe_column(name, tuple(head[name].str.strip())) for name in header]
        chosen = choose_columns(source, columns, range(2, len(head) + 2), wanted, never)
        text = {name: str for j, name in enumerate(header) if j == chosen.key or columns[j].kind == "words"}
        step = count_block_rows(len(header), item=8)
        reader = pd.read_csv(source.path, dtype=text, na_values=_MISSING, chunksize=step, **settings)
        with reader:
            return _collect(source, header, chosen, reader)
    except (OSError, ValueError, csv.Error, EOFError, zlib.error):  # pandas' errors of parsing are ValueErrors
        return None


def _collect(source: VectorSource, header: list[str], chosen: Chosen, frames: Iterator[pd.DataFrame]) -> Rows | None:
    keys: list[str] = []
    rows = GrowingRows(len(chosen.features))
    for frame in frames:
        ids, values = frame.iloc[:, chosen.key], frame.iloc[:, list(chosen.features)]
        plain = (
            _is_plain(frame, header)
            and all(kind.kind in "fiu" for kind in values.dtypes)
            and not ids.isna().any()
            and not frame.iloc[:, -1].isna().any()  # where it is missing, a row may have too few cells
        )
        if not plain:
            return None
        keys += ids.str.strip().tolist()
        rows.add(values.to_numpy(np.float64))
    return _finish(source, header, chosen, keys, rows)


def _is_plain(frame: pd.DataFrame, header: list[str]) -> bool:
    import pandas as pd

    return list(frame.columns) == header and isinstance(frame.index, pd.RangeIndex)  # else rows have too many cells


def _read_cells(source: VectorSource, wanted: Collection[str], never: Collection[str]) -> Rows:
    """Read a table cell by cell."""
    table = read_csv(source.path)
    first = table.rows[:HEAD]
    columns = [_describe_column(name, tuple(row[j] for row in first)) for j, name in enumerate(table.header)]
    chosen = choose_columns(source, columns, table.lines, wanted, never)
    rows = GrowingRows(len(chosen.features))
    for line, row in zip(table.lines, table.rows, strict=True):
        values = np.empty((1, len(chosen.features)))
        for place, j in enumerate(chosen.features):
            if row[j].lower() in GAPS:
                values[0, place] = np.nan
            elif is_number(row[j]):
                values[0, place] = float(row[j])
            else:
                raise UserError(refuse_cell(source, line, row[j], table.header[j]))
        rows.add(values)
    return _finish(source, table.header, chosen, [row[chosen.key] for row in table.rows], rows)


def _finish(
    source: VectorSource, header: tuple[str, ...] | list[str], chosen: Chosen, keys: list[str], rows: GrowingRows
) -> Rows:
    features = tuple(header[j] for j in chosen.features)
    key = f"the column '{header[chosen.key]}'"
    return Rows(tuple(keys), features, rows.finish(), key, chosen.notes, source.per == header[chosen.key])


def _describe_column(name: str, cells: tuple[str, ...]) -> Column:
    return Column(name.strip(), find_kind(cells), cells)


def _read_header(path: Path) -> tuple[str, list[str]]:
    """Return what separates the cells of a plain table, and its first row; that of another has fewer than two cells."""
    with cast("IO[bytes]", gzip.open(path) if is_gzip(path) else path.open("rb")) as handle:
        begin = handle.read(1 << 20)
    text = begin.decode("utf-8-sig", errors="ignore")
    if b"\0" in begin or text.lstrip('"').lower().startswith("sep="):
        return "", []
    delimiter = find_delimiter(text)
    return delimiter, [name.strip() for name in next(csv.reader([text.partition("\n")[0]], delimiter=delimiter), [])]
