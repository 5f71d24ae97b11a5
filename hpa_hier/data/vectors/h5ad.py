"""Vectors in .h5ad: X, or a matrix of obsm or layers, dense or sparse, read in blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from hpa_hier.data.vectors.arrays import number_features
from hpa_hier.data.vectors.growing import GrowingRows
from hpa_hier.data.vectors.source import Rows, VectorSource, blocks
from hpa_hier.errors import UserError
from hpa_hier.files.annotated import check_part, list_columns, open_annotated, read_column, read_row_names
from hpa_hier.files.faults.arrays import check_unpacked
from hpa_hier.files.spelling import did_you_mean

if TYPE_CHECKING:
    import h5py

_ROOMS = ("obsm", "layers")  # groups of matrices with a row an observation
_DRAWN = ("X_umap", "X_tsne", "X_draw_graph_fa", "spatial")  # places in a plane, for pictures


def read_h5ad(source: VectorSource) -> Rows:
    """Read a matrix of an .h5ad file; ids are the row names of obs, or the column that `per` names.

    Raises:
        UserError: the file cannot be read, or which of its matrices are the vectors is not plain.
    """
    with open_annotated(source.path) as file:
        matrices = _list_matrices(file)
        name = _choose_matrix(source, matrices)
        count, width = matrices[name]
        check_unpacked(source.path, count * width * np.dtype(np.float32).itemsize)
        columns = list_columns(file)
        key = source.find_key(columns)
        ids = read_row_names(file) if key is None else read_column(file, columns[key])
        if ids is None:
            raise UserError(f"{source.path}: obs has no row names, which are the samples' ids")
        if len(ids) != count:
            raise UserError(f"{source.path}: {name} has {count:,} rows, and obs has {len(ids):,}; write the file again")
        features = _name_features(file, name, width)
        picked = source.match_features(features)
        values = _read_matrix(source, file[name], width, picked)
    kept = features if picked is None else tuple(features[j] for j in picked)
    others = [f"{other} ({shape[1]:,} columns)" for other, shape in matrices.items() if other != name]
    beside = f"; not {', '.join(others)}, which --layer names" if others else ""
    notes = (f"vectors are {name} of {source.path.name}{beside}",) if others or name != "X" else ()
    return Rows(
        ids, kept, values, "obs_names" if key is None else f"obs column '{columns[key]}'", notes, key is not None
    )


def _list_matrices(file: h5py.File) -> dict[str, tuple[int, int]]:
    """Return the shape of each matrix with a row an observation, X first."""
    there = [
        name for name in ("X", *(f"{room}/{key}" for room in _ROOMS for key in file.get(room, ()))) if name in file
    ]
    shapes = {name: _find_shape(file[name]) for name in there}
    return {name: (shape[0], shape[1]) for name, shape in shapes.items() if len(shape) == 2 and shape[1] > 0}


def _find_shape(element: Any) -> tuple[int, ...]:  # noqa: ANN401 - a group or a dataset
    """Return the shape of a matrix; () of what is none, such as a data frame."""
    if not hasattr(element, "keys"):
        return tuple(element.shape) if element.dtype.kind in "fiub" else ()
    shape = element.attrs.get("shape", element.attrs.get("h5sparse_shape", ()))
    return tuple(int(side) for side in shape)


def _choose_matrix(source: VectorSource, matrices: dict[str, tuple[int, int]]) -> str:
    listed = ", ".join(f"{name} ({shape[1]:,} columns)" for name, shape in matrices.items())
    if not matrices:
        raise UserError(f"{source.path}: holds no matrix in X, obsm or layers; is it the right file?")
    if source.layer is None:
        likely = [name for name in matrices if name.partition("/")[2] not in _DRAWN]
        if "X" in matrices or len(likely) == 1:
            return "X" if "X" in matrices else likely[0]
        raise UserError(f"{source.path}: has no X; name the vectors with --layer: {listed}")
    wanted = source.layer.replace(":", "/")
    found = [name for name in matrices if wanted in (name, name.partition("/")[2])]
    if len(found) != 1:
        why, near = ("is in several places", "") if found else ("is no matrix", did_you_mean(wanted, tuple(matrices)))
        raise UserError(f"--layer {source.layer}: {why}; {source.path} has {listed}{near}")
    return found[0]


def _name_features(file: h5py.File, name: str, width: int) -> tuple[str, ...]:
    """Return the names of a matrix's columns: those of var; obsm's have none."""
    names = read_row_names(file, "var") if name == "X" or name.startswith("layers/") else None
    return names if names is not None and len(names) == width else number_features(width)


def _read_matrix(source: VectorSource, matrix: Any, width: int, picked: tuple[int, ...] | None) -> np.ndarray:  # noqa: ANN401
    columns = slice(None) if picked is None else list(picked)
    dense = not hasattr(matrix, "keys")
    for part in [matrix] if dense else [matrix[name] for name in ("data", "indices", "indptr")]:
        check_part(part)
    if dense and picked is None and matrix.dtype == np.dtype("<f4") and matrix.id.get_offset() is not None:
        return np.asarray(np.memmap(source.path, np.float32, "r", matrix.id.get_offset(), matrix.shape))
    rows = GrowingRows(width if picked is None else len(picked))
    for block in (matrix[part] for part in blocks(*matrix.shape)) if dense else _read_sparse(source, matrix):
        rows.add(block[:, columns])
    return rows.finish()


def _read_sparse(source: VectorSource, matrix: h5py.Group) -> Iterator[np.ndarray]:
    """Give out the rows of a sparse matrix as dense blocks; one kept by columns is turned in memory first."""
    from scipy import sparse

    shape = _find_shape(matrix)
    kind = matrix.attrs.get("encoding-type", matrix.attrs.get("h5sparse_format", ""))
    if str(kind).startswith("csc"):
        columns = sparse.csc_matrix((matrix["data"][:], matrix["indices"][:], matrix["indptr"][:]), shape)
        columns.check_format(full_check=True)  # else its numbers may lead out of what is there
        whole = columns.tocsr()
        yield from (whole[part].toarray() for part in blocks(*shape))
        return
    if not str(kind).startswith("csr"):
        raise UserError(
            f"{source.path}: {matrix.name} is {kind or 'of a kind'} that is not read; save a matrix of numbers"
        )
    ends = matrix["indptr"][:]
    if len(ends) != shape[0] + 1:
        raise UserError(f"{source.path}: {matrix.name} is damaged: {len(ends):,} ends of {shape[0]:,} rows")
    for part in blocks(*shape):
        first, last = int(ends[part.start]), int(ends[part.stop])
        entries = (matrix["data"][first:last], matrix["indices"][first:last], ends[part.start : part.stop + 1] - first)
        rows = sparse.csr_matrix(entries, (part.stop - part.start, shape[1]))
        rows.check_format(full_check=True)  # else its numbers may lead out of what is there
        yield rows.toarray()
