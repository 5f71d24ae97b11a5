"""Read vectors: the reader that suits the file, then ids, and one row a sample."""

from __future__ import annotations

from collections.abc import Collection

from hpa_hier.data.labels.ids import find_id
from hpa_hier.data.vectors.arrays import read_folder, read_npy, read_npz
from hpa_hier.data.vectors.cells import average_cells, find_samples
from hpa_hier.data.vectors.columnar import read_columnar
from hpa_hier.data.vectors.delimited import read_delimited
from hpa_hier.data.vectors.h5ad import read_h5ad
from hpa_hier.data.vectors.source import Rows, VectorSource
from hpa_hier.data.vectors.table import VectorTable, check_vectors, refuse_repeated_ids
from hpa_hier.errors import UserError
from hpa_hier.files.annotated import SUFFIX
from hpa_hier.files.columnar import FORMATS

_CODE = (".pth", ".pt", ".pkl", ".pickle", ".joblib", ".rds")  # files that run code where they are read
_SHEETS = (".xlsx", ".xls", ".ods")


def read_vectors(source: VectorSource, wanted: Collection[str] = (), never: Collection[str] = ()) -> VectorTable:
    """Read vectors, one row a sample.

    Args:
        source: the file or folder, and what of it is asked for.
        wanted: features that members were trained on; a table's other columns of numbers are then no features.
        never: columns of a table that are labels.

    Raises:
        UserError: there is no such file, it is of another kind, has no numbers or infinite ones, or its ids are bad
            or repeated.
    """
    suffix = source.path.suffix.lower()
    if source.ids is not None and suffix not in (".npy", ".npz"):
        raise UserError(f"--ids {source.ids}: goes with a .npy file; the ids of {source.path} are in it")
    if source.layer is not None and suffix not in (SUFFIX, ".npz"):
        raise UserError(f"--layer {source.layer}: goes with an .h5ad file; leave it out for {source.path}")
    rows = _read_rows(source, suffix, wanted, never)
    if not len(rows.keys):
        raise UserError(f"{source.path}: holds no rows")
    pattern = None if rows.by_column else source.id_pattern
    keys = find_samples(pattern, rows.keys, source.path) if pattern else rows.keys
    ids, values, notes = tuple(map(find_id, keys)), rows.values, rows.notes
    if source.per is None:
        refuse_repeated_ids(source, rows, ids)
    elif len({*ids}) < len(ids):
        samples = average_cells(ids, values)
        told = (
            f"{len(ids):,} rows are cells of {len(samples.ids):,} samples, {samples.most:,} at most; each is their mean"
        )
        ids, values, notes = samples.ids, samples.values, (*notes, told)
    table = VectorTable(str(source.path), ids, rows.features, values, notes)
    check_vectors(table)
    return table


def _read_rows(source: VectorSource, suffix: str, wanted: Collection[str], never: Collection[str]) -> Rows:
    if source.path.is_dir() and suffix != ".zarr":
        return read_folder(source)
    if suffix in (".npy", ".npz"):
        return read_npy(source) if suffix == ".npy" else read_npz(source)
    if suffix == SUFFIX:
        return read_h5ad(source)
    if suffix in FORMATS:
        return read_columnar(source, wanted, never)
    if suffix in _CODE:
        raise UserError(
            f"{source.path}: such a file can run code and is not read; save the numbers as .npy or .parquet"
        )
    if suffix in (*_SHEETS, ".zarr"):
        raise UserError(f"{source.path}: {suffix} is not read; save the table as .csv, .parquet or .h5ad")
    return read_delimited(source, wanted, never)
