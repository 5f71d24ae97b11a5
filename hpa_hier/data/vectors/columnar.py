"""Vectors in .parquet and .feather, read in batches of rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

import numpy as np

from hpa_hier.data.vectors.arrays import number_features
from hpa_hier.data.vectors.columns import HEAD, Column, choose_columns
from hpa_hier.data.vectors.growing import GrowingRows
from hpa_hier.data.vectors.source import Rows, VectorSource, count_block_rows
from hpa_hier.errors import UserError
from hpa_hier.files.columnar import describe_cells, open_columnar
from hpa_hier.files.faults.damage import damage_told


def read_columnar(source: VectorSource, wanted: Collection[str] = (), never: Collection[str] = ()) -> Rows:
    """Read a table of columns: numbers, or one column with a list of numbers in each row.

    Args:
        source: the file, and what is asked of it.
        wanted: features that members were trained on.
        never: columns that are labels.

    Raises:
        UserError: pyarrow is missing, the file cannot be read, or has no features.
    """
    with damage_told(source.path):
        return _read(source, wanted, never)


def _read(source: VectorSource, wanted: Collection[str], never: Collection[str]) -> Rows:
    opened = open_columnar(source.path)
    names, head = opened.schema.names, opened.head(HEAD)
    columns = [_describe_column(name, head[name]) for name in names]
    chosen = choose_columns(source, columns, range(1, HEAD + 1), wanted, never)
    key, kept = names[chosen.key], [names[j] for j in chosen.features]
    lists = columns[chosen.features[0]].kind == "list"
    width = len(head[kept[0]][0].as_py() or ()) if lists else len(kept)
    keys: list[str] = []
    rows = GrowingRows(width)
    for batch in opened.to_batches(
        columns=list({key: 0, **dict.fromkeys(kept)}), batch_size=count_block_rows(width, item=8)
    ):
        if batch.num_rows:
            rows.add(_read_lists(source, batch[kept[0]], width, len(keys)) if lists else _read_numbers(batch, kept))
            keys += describe_cells(batch[key])
    features = number_features(width) if lists else tuple(kept)
    return Rows(tuple(keys), features, rows.finish(), f"the column '{key}'", chosen.notes, source.per == key)


def _describe_column(name: str, cells: Any) -> Column:  # noqa: ANN401 - pyarrow has no types
    kind = _find_kind(cells.type)
    return Column(name, kind, ("",) * len(cells) if kind == "list" else describe_cells(cells))


def _find_kind(found: Any) -> Literal["numbers", "words", "empty", "list"]:  # noqa: ANN401
    from pyarrow import types

    if types.is_integer(found) or types.is_floating(found) or types.is_boolean(found) or types.is_decimal(found):
        return "numbers"
    if types.is_list(found) or types.is_large_list(found) or types.is_fixed_size_list(found):
        return "list" if _find_kind(found.value_type) == "numbers" else "words"
    return "empty" if types.is_null(found) else "words"


def _read_numbers(batch: Any, names: Sequence[str]) -> np.ndarray:  # noqa: ANN401
    """Return columns of numbers as (B, F) float64; NaN where a value is missing."""
    from pyarrow import compute, float64

    return np.column_stack([compute.cast(batch[n], float64()).to_numpy(zero_copy_only=False) for n in names])


def _read_lists(source: VectorSource, column: Any, width: int, before: int) -> np.ndarray:  # noqa: ANN401
    """Return lists of numbers as (B, F) float64."""
    from pyarrow import compute, float64

    lengths = np.asarray(compute.list_value_length(column).fill_null(0))
    if (lengths != width).any():
        row = int(np.flatnonzero(lengths != width)[0])
        raise UserError(f"{source.path}: row {before + row + 1} has {lengths[row]} numbers, and the first {width}")
    flat = compute.cast(compute.list_flatten(column), float64())
    return np.asarray(flat.to_numpy(zero_copy_only=False)).reshape(len(column), width)
