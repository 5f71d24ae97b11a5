"""CSV tables that this program writes and reads again: the same bytes for the same frame, text unless asked otherwise.

Tables that people write are read by `csv_file`, which names the line of each mistake.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import write_text
from hpa_hier.files.faults.machine import describe_refusal
from hpa_hier.files.faults.shown import show

if TYPE_CHECKING:
    import pandas as pd

_RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r")  # a cell that begins so is taken for a formula
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame's columns, without its index, as CSV with commas and Unix line ends; whole or not at all.

    Numbers are written with as many digits as reading them back exactly takes; what is missing is an empty cell. No
    text is run as a formula by a spreadsheet: it gets an apostrophe, which `read_table` takes off.
    """
    texts = frame.select_dtypes(exclude=("number", "bool"))
    inert = frame.assign(**{str(name): texts[name].map(_make_inert) for name in texts})
    write_text(path, inert.to_csv(index=False, lineterminator="\n"))


def read_table(path: Path, columns: Sequence[str] = (), types: Mapping[str, type | str] | None = None) -> pd.DataFrame:
    """Read a table that `write_table` wrote.

    Args:
        path: the CSV file.
        columns: that it must have; others are returned too.
        types: column → type; the other columns are text in which `007`, `NA` and the empty cell stay what they are.

    Raises:
        UserError: the file is absent, no such table, or lacks a column.

    >>> import pandas as pd, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "split.csv"
    >>> write_table(path, pd.DataFrame({"Id": ["007", "NA"], "fold": [0, 1]}))
    >>> read_table(path, ["Id"], {"fold": int}).to_dict("list")
    {'Id': ['007', 'NA'], 'fold': [0, 1]}
    """
    import pandas as pd

    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe or a device, whose end may never come
        raise UserError(f"{path}: is no regular file; run the step that writes it again")
    try:
        frame = pd.read_csv(path, dtype=str, na_filter=False, encoding="utf-8", skip_blank_lines=False)
        if not isinstance(frame.index, pd.RangeIndex):  # pandas takes what is too much for row names
            raise ValueError("rows have more cells than the header")
        frame = frame.map(_take_apostrophe_off) if frame.size else frame
        frame = frame.astype(dict(types or {}))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError, KeyError) as error:  # pandas' errors of parsing and decoding are ValueErrors
        if refused := describe_refusal(error):
            raise UserError(refused) from None
        problem = " ".join(str(error).split())
        raise UserError(f"{path}: not the table expected ({problem}); run the step that writes it again") from None
    missing = [column for column in columns if column not in frame]
    if missing:
        raise UserError(f"{path}: no column '{missing[0]}'; it has {', '.join(map(str, frame))}")
    return frame


def _make_inert(cell: object) -> object:
    """Return a cell that a spreadsheet shows as it is; one with apostrophes before a formula gets another one."""
    if isinstance(cell, str) and cell.lstrip("'").startswith(_RUN_BY_SPREADSHEETS) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def _take_apostrophe_off(cell: str) -> str:
    found = cell[:1] == "'" and cell.lstrip("'").startswith(_RUN_BY_SPREADSHEETS)
    return cell[1:] if found else cell


def safe_cell(text: str) -> str:
    r"""Put an apostrophe before a cell that a spreadsheet would run as a formula, and show control characters.

    >>> safe_cell("=1+1"), safe_cell("Nucleoli"), safe_cell("a\rb")
    ("'=1+1", 'Nucleoli', 'a\\rb')
    """
    shown = show(text)  # a bare carriage return would also end the row
    return f"'{shown}" if shown.startswith(_RUN_BY_SPREADSHEETS) else shown
