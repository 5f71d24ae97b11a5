"""CSV tables read as text: every cell a string, every row with its line."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from hpa_hier.errors import UserError
from hpa_hier.files.text_file import read_text

MAX_BYTES = 512 << 20  # a label table above this is some other file
_DELIMITERS = (",", ";", "\t")  # spreadsheets write the latter two


@dataclass(frozen=True)
class CsvTable:
    """A CSV file's header and rows, as text."""

    source: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]  # 1-based line that each row ends on


def read_csv(path: Path) -> CsvTable:
    r"""Read a CSV file without guessing types: `007`, `1e5` and `NA` stay what they are.

    A byte order mark, Windows line ends, and `;` or tabs instead of commas are read as well; empty lines are
    left out.

    Raises:
        UserError: the file is absent, no UTF-8 text, empty, or has rows of different lengths.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "labels.csv"
    >>> _ = path.write_text("Id;Target\n\ncell_1;007\n")
    >>> table = read_csv(path)
    >>> table.header, table.rows, table.lines
    (('Id', 'Target'), (('cell_1', '007'),), (3,))
    """
    text = read_text(path, "CSV", MAX_BYTES)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"{path}:{line}: a NUL byte; this is no text file")
    delimiter = _delimiter(text.partition("\n")[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    try:
        for cells in reader:
            row = tuple(cell.strip() for cell in cells)
            if not any(row):
                continue
            if not header:
                header = _checked_header(path, row)
                continue
            if len(row) != len(header):
                raise UserError(
                    f"{path}:{reader.line_num}: {len(row)} cells where the header has {len(header)}; "
                    "quote cells that hold the separator"
                )
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: not a CSV row ({error})") from None
    if not header:
        raise UserError(f"{path}: the file is empty; a table begins with a header such as Id,Target")
    return CsvTable(str(path), header, tuple(rows), tuple(lines))


def _delimiter(first_line: str) -> str:
    return max(_DELIMITERS, key=lambda mark: (first_line.count(mark), -_DELIMITERS.index(mark)))


def _checked_header(path: Path, header: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise UserError(f"{path}:1: column {twice[0]!r} appears twice in the header; give each column its own name")
    return header
