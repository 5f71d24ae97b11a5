"""Vector tables: one row of numbers a sample, from a CSV file or from an array with its ids beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpa_hier.data.labels.ids import ID_RULE, find_id, is_valid_id
from hpa_hier.errors import UserError
from hpa_hier.files.csv_file import NumberTable, read_csv, read_plain_numbers

_GAPS = frozenset({"", "na", "nan", "?", "null", "none"})  # how tables write a missing value, in any case
_CURE_GAPS = "fill them, or give --fill mean: they then count as the training part's mean"


@dataclass(frozen=True)
class VectorTable:
    """Feature vectors by sample."""

    source: str
    ids: tuple[str, ...]
    features: tuple[str, ...]  # names of the F columns
    values: np.ndarray  # (B, F) float32; NaN where a value is missing


def read_vectors(path: Path, ids: Path | None = None) -> VectorTable:
    """Read a table of vectors.

    Args:
        path: a CSV file whose first column is the id and whose other columns are numbers, or a .npy file with a (B, F)
            array, whose features are then called f0, f1, …
        ids: for a .npy file: a text file with one id a line.

    Raises:
        UserError: no such file, no numbers, infinite ones, ids that are bad, double or not as many as the rows.
    """
    if path.suffix == ".npy":
        if ids is None:
            raise UserError(f"{path}: an array has no ids; give --ids FILE with one id a line")
        table = _read_array(path, ids)
    else:
        if ids is not None:
            raise UserError(f"--ids {ids}: goes with a .npy file; the ids of {path} are its first column")
        table = read_plain_numbers(path, _GAPS) or _read_cells(path)
    with np.errstate(over="ignore"):  # what overflows becomes infinite, which is refused
        vectors = VectorTable(str(path), tuple(map(find_id, table.ids)), table.columns, table.values.astype(np.float32))
    check_vectors(vectors)
    return vectors


def check_vectors(table: VectorTable) -> None:
    """Raise the UserError of ids that are bad or double, or of infinite values, where there are any."""
    for sample_id, count in Counter(table.ids).items():
        if not is_valid_id(sample_id):
            raise UserError(f"{table.source}: {sample_id!r} is no id; {ID_RULE}")
        if count > 1:
            raise UserError(f"{table.source}: id {sample_id!r} appears twice; a sample has one vector")
    infinite = np.isinf(table.values)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        raise UserError(
            f"{table.source}: {int(infinite.sum()):,} values are infinite or too large for float32, the first is "
            f"'{table.features[column]}' of {table.ids[row]}; fix them"
        )


def refuse_missing_values(source: object, values: np.ndarray, ids: Sequence[str], features: Sequence[str]) -> None:
    """Raise the UserError of missing values, where there are any."""
    gaps = np.isnan(values)
    if gaps.any():
        row, column = np.argwhere(gaps)[0]
        raise UserError(
            f"{source}: {int(gaps.sum()):,} of {gaps.size:,} values are missing, the first is '{features[column]}' of "
            f"{ids[row]}; {_CURE_GAPS}"
        )


def order_features(table: VectorTable, features: Sequence[str]) -> np.ndarray:
    """Return a table's (B, F) values in the order of `features`; one that is absent, or another, is a UserError."""
    if table.features == tuple(features):
        return table.values
    column = {name: j for j, name in enumerate(table.features)}
    absent = [name for name in features if name not in column]
    others = sorted(set(column) - set(features))
    if absent or others:
        first = f"it has no '{absent[0]}'" if absent else f"it has '{others[0]}', which the pack did not have"
        counts = f"{len(table.features)} features, not the {len(features)} that the members were trained on"
        raise UserError(f"{table.source}: {counts}; {first}")
    return np.ascontiguousarray(table.values[:, [column[name] for name in features]])


def _read_array(path: Path, ids: Path) -> NumberTable:
    try:
        values = np.load(path, allow_pickle=False)
        names = ids.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file") from None
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}, {ids}: cannot be read ({str(error).splitlines()[0]})") from None
    if values.ndim != 2 or values.dtype.kind not in "fiu" or not values.size:
        cure = "vectors are numbers of shape (samples, features)"
        raise UserError(f"{path}: {values.dtype} of shape {values.shape}; {cure}")
    found = tuple(name.strip() for name in names if name.strip())
    if len(found) != len(values):
        raise UserError(f"{ids}: {len(found):,} ids for the {len(values):,} rows of {path}; give one a line")
    return NumberTable(found, tuple(f"f{j}" for j in range(values.shape[1])), values)


def _read_cells(path: Path) -> NumberTable:
    """Read a table cell by cell, and name the place of the first one that is no number."""
    table = read_csv(path)
    if len(table.header) < 2 or not table.rows:
        raise UserError(f"{path}: holds no vectors; the first column is the id, the others are numbers")
    values = np.empty((len(table.rows), len(table.header) - 1))
    for i, row in enumerate(table.rows):
        for j, cell in enumerate(row[1:]):
            try:
                values[i, j] = float("nan" if cell.lower() in _GAPS else cell)
            except ValueError:
                raise UserError(
                    f"{path}:{table.lines[i]}: {cell!r} in the column '{table.header[j + 1]}' is no number; the first "
                    "column is the id, the others are numbers; convert words to 0/1 columns"
                ) from None
    return NumberTable(tuple(row[0] for row in table.rows), table.header[1:], values)
