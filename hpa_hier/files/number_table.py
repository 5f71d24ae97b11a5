"""Tables of numbers that people write, the first column the id: read by pandas where they are plain."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpa_hier.files.csv_file import MAX_BYTES


@dataclass(frozen=True)
class NumberTable:
    """A table of numbers."""

    ids: tuple[str, ...]  # B
    columns: tuple[str, ...]  # F names
    values: np.ndarray  # (B, F) float64; NaN where a value is missing


def read_plain_numbers(path: Path, missing: Collection[str] = ()) -> NumberTable | None:
    r"""Read a plain table of numbers by pandas, 12 times as fast as cell by cell.

    Args:
        path: a CSV file with commas.
        missing: how a missing value is written, in lower case.

    Returns:
        None where the table is not plain, or something is wrong with it: `csv_file` then says what and in which line.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "scores.csv"
    >>> _ = path.write_text("id,a,b\n007,0.5,1\n")
    >>> read_plain_numbers(path)
    NumberTable(ids=('007',), columns=('a', 'b'), values=array([[0.5, 1. ]]))
    """
    import pandas as pd

    try:
        if path.stat().st_size > MAX_BYTES or b"\0" in (content := path.read_bytes()):
            return None
        header = next(csv.reader([content.partition(b"\n")[0].decode("utf-8-sig")]))
        frame = pd.read_csv(
            io.BytesIO(content),
            dtype={0: str},
            na_values=[form for word in missing for form in {word, word.upper(), word.title(), "NaN"}],
            keep_default_na=False,
            encoding="utf-8-sig",
        )
    except (OSError, ValueError, StopIteration):  # pandas' errors of parsing are ValueErrors
        return None
    ids, values = frame.iloc[:, 0], frame.iloc[:, 1:]
    plain = (
        len(header) > 1
        and list(frame.columns) == header  # else a name appears twice, or rows have too many cells
        and all(kind.kind in "fiu" for kind in values.dtypes)
        and not ids.isna().any()
        and not values.iloc[:, -1].isna().any()  # where it is missing, a row may have too few cells
        and len(frame) > 0
    )
    if not plain:
        return None
    columns = tuple(name.strip() for name in header[1:])
    return NumberTable(tuple(ids.str.strip()), columns, values.to_numpy(np.float64))
