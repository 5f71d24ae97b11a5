"""Vector tables: feature vectors by sample, checked, and put in the order of the features that members know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpa_hier.data.labels.ids import ID_RULE, is_valid_id
from hpa_hier.data.vectors.columns import find_series
from hpa_hier.data.vectors.source import Rows, VectorSource, blocks, list_names
from hpa_hier.errors import UserError

_CURE_GAPS = "fill them, or give --fill mean: they then count as the training part's mean"


@dataclass(frozen=True)
class VectorTable:
    """Feature vectors by sample."""

    source: str
    ids: tuple[str, ...]
    features: tuple[str, ...]  # names of the F columns
    values: np.ndarray  # (B, F) float32, in memory or mapped from a file; NaN where a value is missing
    notes: tuple[str, ...] = ()  # what was taken for what


@dataclass(frozen=True)
class FeatureOrder:
    """Where a table has the features that members know."""

    columns: np.ndarray | None  # (F,) column numbers; None: as they are
    notes: tuple[str, ...] = ()

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return some rows' values in the order of the members."""
        return np.ascontiguousarray(values if self.columns is None else values[:, self.columns])


def check_vectors(table: VectorTable) -> None:
    """Raise the UserError of ids that are bad or repeated, or of infinite values, where there are any."""
    for sample_id, count in Counter(table.ids).items():
        if not is_valid_id(sample_id):
            raise UserError(f"{table.source}: {sample_id!r} is no id; {ID_RULE}")
        if count > 1:
            raise UserError(f"{table.source}: id {sample_id!r} appears twice; a sample has one vector")
    count, first = _count_where(np.isinf, table.values)
    if first is not None:
        raise UserError(
            f"{table.source}: {count:,} values are infinite or too large for float32, the first is "
            f"'{table.features[first[1]]}' of {table.ids[first[0]]}; fix them"
        )


def refuse_repeated_ids(source: VectorSource, rows: Rows, ids: Sequence[str]) -> None:
    """Raise the UserError of ids that are repeated, as where rows are cells, and say how they become samples."""
    counts = Counter(ids)
    sample_id, count = next(((one, n) for one, n in counts.items() if n > 1), ("", 1))
    if count == 1:
        return
    repeated = sum(n > 1 for n in counts.values())
    keys = [key for key, one in zip(rows.keys, ids, strict=True) if one == sample_id]
    start = f"{source.path}: id {sample_id!r} appears {'twice' if count == 2 else f'{count:,} times'}"
    if len({*keys}) == len(keys):
        raise UserError(
            f"{start} once folders and endings are left out, as {keys[0]!r} and {keys[1]!r}; where a folder is one "
            "sample, --per '(.+)/' makes it the mean of its rows; else give each its own name"
        )
    column = rows.key.partition("'")[2].rstrip("'")
    cells = f"--per {column} makes each the mean of its rows" if column else "--per names the column of samples"
    raise UserError(
        f"{start}, and {repeated - 1:,} more ids do; a sample has one vector. Where rows are cells, {cells}"
        if repeated > 1
        else f"{start}; a sample has one vector. Where rows are cells, {cells}"
    )


def refuse_missing_values(
    source: object, values: np.ndarray, ids: Sequence[str], features: Sequence[str], order: FeatureOrder | None = None
) -> None:
    """Raise the UserError of missing values, where there are any among the features that members know.

    Args:
        source: of the values.
        values: (B, F) float32; NaN where one is missing.
        ids: of the rows.
        features: of the columns.
        order: which of them members know; None: all.
    """
    columns = None if order is None else order.columns
    count, first = _count_where(np.isnan, values, columns)
    if first is not None:
        size = values.shape[0] * (values.shape[1] if columns is None else len(columns))
        raise UserError(
            f"{source}: {count:,} of {size:,} values are missing, the first is '{features[first[1]]}' of "
            f"{ids[first[0]]}; {_CURE_GAPS}"
        )


def order_features(source: object, found: Sequence[str], features: Sequence[str]) -> FeatureOrder:
    """Find the features that members know among those of a table: by name, or by number where both only count them.

    Args:
        source: of the table.
        found: its features.
        features: those that members know.

    Raises:
        UserError: one is absent, or the table goes on where the members' features end.

    >>> order_features("new.csv", ["b", "a", "area"], ["a", "b"]).columns
    array([1, 0])
    """
    if tuple(found) == tuple(features):
        return FeatureOrder(None)
    column = {name: j for j, name in enumerate(found)}
    absent = [name for name in features if name not in column]
    counts = f"{len(found):,} features, not the {len(features):,} that the members were trained on"
    by_number = _match_by_number(found, features) if len(absent) == len(features) else None
    if by_number is not None:
        note = f"features are taken by number: {found[by_number[0]]!r} is {features[0]!r}"
        return FeatureOrder(by_number, (note,))
    if absent:
        more = f" and {len(absent) - 1:,} more" if len(absent) > 1 else ""
        raise UserError(f"{source}: {counts}; it has no '{absent[0]}'{more}")
    others = [name for name in found if name not in {*features}]
    longer = _find_longer(found, features)
    if longer:
        raise UserError(f"{source}: {counts}; it has '{longer}', which they do not know: is it of the same model?")
    notes = (f"left out, as the members do not know them: {list_names(others)}",) if others else ()
    return FeatureOrder(np.array([column[name] for name in features], np.intp), notes)


def _match_by_number(found: Sequence[str], features: Sequence[str]) -> np.ndarray | None:
    """Match features that are called by a number alone, as feat0000 is f0; None where they are not."""
    series, known = find_series(found), find_series(features)
    if len(series) != 1 or len(known) != 1 or len(found) != len(features):
        return None
    (these,), (those,) = series.values(), known.values()
    if len(these) != len(found) or len(those) != len(features):
        return None
    place = {name: j for j, name in enumerate(found)}
    other = dict(zip(those, these, strict=True))
    return np.array([place[other[name]] for name in features], np.intp)


def _find_longer(found: Sequence[str], features: Sequence[str]) -> str | None:
    """Return a feature that continues a numbered series of those known, as of a model with longer vectors."""
    known = find_series(features)
    for stem, names in find_series(found).items():
        if stem in known and len(names) > len(known[stem]) > 1:
            return next(name for name in names if name not in {*known[stem]})
    return None


def _count_where(
    rule: np.ufunc, values: np.ndarray, columns: np.ndarray | None = None
) -> tuple[int, tuple[int, int] | None]:
    """Count the values that a rule holds for, and find the first."""
    count, first = 0, None
    for part in blocks(*values.shape):
        hits = rule(values[part] if columns is None else values[part][:, columns])
        number = int(hits.sum())
        if number and first is None:
            row, column = np.argwhere(hits)[0]
            first = (part.start + int(row), int(column if columns is None else columns[column]))
        count += number
    return count, first
