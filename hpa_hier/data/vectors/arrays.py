"""Vectors in NumPy's files: .npy with its ids beside it, .npz, and a folder with one .npy file a sample."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from hpa_hier.data.vectors.growing import GrowingRows
from hpa_hier.data.vectors.source import Rows, VectorSource, blocks
from hpa_hier.errors import UserError
from hpa_hier.files.faults.arrays import unpack_npz
from hpa_hier.files.faults.machine import find_refusal

_SHAPE = "vectors are numbers of shape (samples, features)"
_SUBCELL = "_embedding.npy"  # how SubCellPortable ends the names of its files of one vector each
_IDS, _FEATURES = ("ids", "id", "obs_names", "names"), ("features", "var_names", "columns")  # arrays of a .npz file


def read_npy(source: VectorSource) -> Rows:
    """Read a (B, F) array whose ids are in a text file; its features are called f0, f1 and so on.

    Raises:
        UserError: a file is absent, holds no such array, or there are not as many ids as rows.
    """
    if source.ids is None:
        raise UserError(f"{source.path}: an array has no ids; give --ids FILE with one id a line")
    ids = _read_ids(source.ids)
    values = _load(source.path)
    if values.ndim != 2 or values.dtype.kind not in "fiu" or not values.size:
        raise UserError(f"{source.path}: {values.dtype} of shape {values.shape}; {_SHAPE}")
    if len(ids) != len(values):
        raise UserError(f"{source.ids}: {len(ids):,} ids for the {len(values):,} rows of {source.path}; one a line")
    return _choose(source, ids, number_features(values.shape[1]), convert_rows(values), f"a line of {source.ids}")


def read_npz(source: VectorSource) -> Rows:
    """Read a .npz file with a (B, F) array of numbers and, where no file of ids is given, one of B ids.

    Raises:
        UserError: the file is absent, or which of its arrays are what is not plain.
    """
    with _reasons(source.path):
        arrays = unpack_npz(source.path)
    tables = {name: one for name, one in arrays.items() if one.ndim == 2 and one.dtype.kind in "fiu" and one.size}
    if source.layer is not None:
        tables = {name: one for name, one in tables.items() if name == source.layer}
    if len(tables) != 1:
        shapes = ", ".join(f"{name} {one.dtype}{list(one.shape)}" for name, one in arrays.items())
        which = "which of its arrays are the vectors is not plain; name it with --layer" if tables else _SHAPE
        raise UserError(f"{source.path}: holds {shapes or 'nothing'}; {which}")
    values = next(iter(tables.values()))
    names = _find_texts(arrays, _FEATURES, values.shape[1]) or number_features(values.shape[1])
    ids = _read_ids(source.ids) if source.ids else _find_texts(arrays, _IDS, len(values))
    if ids is None:
        raise UserError(
            f"{source.path}: an array has no ids; give --ids FILE with one id a line, or add an array 'ids'"
        )
    if len(ids) != len(values):
        raise UserError(f"{source.ids}: {len(ids):,} ids for the {len(values):,} rows of {source.path}; one a line")
    return _choose(source, ids, names, convert_rows(values), f"the ids of {source.path.name}")


def read_folder(source: VectorSource) -> Rows:
    """Read a folder with one vector a file, as SubCellPortable writes them; an id is a file's path in the folder.

    Raises:
        UserError: there are no such files, or they hold no vectors of one length.
    """
    found = source.list_arrays()
    own = [path for path in found if path.name.endswith(_SUBCELL)]
    files = own or found
    if not files:
        tables = [path.name for path in sorted(source.path.iterdir()) if path.suffix.lower() in _TABLES]
        cure = f"name the file: --vectors {source.path / tables[0]}" if tables else "name a file of vectors"
        raise UserError(f"{source.path}: a folder without .npy files; {cure}")
    _refuse_links(source.path, files)
    width = len(_load_one(files[0]))
    rows = GrowingRows(width)
    for path in files:
        vector = _load_one(path)
        if len(vector) != width:
            raise UserError(
                f"{path}: {len(vector):,} numbers, and {files[0].name} has {width:,}; vectors are of one length"
            )
        rows.add(vector[None])
    end = len(_SUBCELL) if own else len(".npy")
    keys = tuple(path.relative_to(source.path).as_posix()[:-end] for path in files)
    others = f" beside {len(found) - len(own):,} other .npy files" if own and len(found) > len(own) else ""
    note = f"{len(files):,} files *{_SUBCELL if own else '.npy'}{others}, one vector each"
    return _choose(source, keys, number_features(width), rows.finish(), "the files' names", (note,))


def _refuse_links(folder: Path, files: Sequence[Path]) -> None:
    """Refuse links that lead out of a folder of vectors."""
    top = os.path.realpath(folder)
    for path in files:
        target = Path(os.path.realpath(path))
        if not target.is_relative_to(top):
            raise UserError(f"{path}: a link that leaves the folder, to {target}; put a copy in its place")


_TABLES = (".h5ad", ".parquet", ".csv", ".tsv", ".feather", ".npz")


def number_features(count: int) -> tuple[str, ...]:
    """Return names for features that have none.

    >>> number_features(3)
    ('f0', 'f1', 'f2')
    """
    return tuple(f"f{j}" for j in range(count))


def convert_rows(values: np.ndarray) -> np.ndarray:
    """Return (B, F) numbers as float32, block by block; what is float32 already is not copied."""
    if values.dtype == np.float32 and values.flags.c_contiguous:
        return np.asarray(values)
    rows = GrowingRows(values.shape[1])
    for block in blocks(*values.shape):
        rows.add(values[block])
    return rows.finish()


@contextmanager
def _reasons(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file raises into a line that says so."""
    if not path.exists():
        raise UserError(f"{path}: no such file")
    if not path.is_file():
        raise UserError(f"{path}: is no regular file; save an array of numbers")
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if find_refusal(error) is not None:
            raise
        raise UserError(_refuse_array(path, error)) from None


def _refuse_array(path: Path, error: Exception) -> str:
    """Say that an array cannot be read, and why."""
    with path.open("rb") as handle:
        if not handle.read(6).startswith((b"\x93NUMPY", b"PK")):
            return f"{path}: is no file that NumPy has saved; save an array of numbers"
    if "pickle" in str(error) or "Python objects" in str(error):
        return f"{path}: holds Python objects, which could run code and are not read; save an array of numbers"
    return f"{path}: cannot be read ({str(error).splitlines()[0] if str(error) else type(error).__name__})"


def _choose(
    source: VectorSource,
    keys: Sequence[str],
    names: tuple[str, ...],
    values: np.ndarray,
    key: str,
    notes: tuple[str, ...] = (),
) -> Rows:
    """Keep the features that are asked for; `per` can be an expression for ids alone."""
    source.find_key(())
    picked = source.match_features(names)
    if picked is not None:
        names, values = tuple(names[j] for j in picked), np.ascontiguousarray(values[:, list(picked)])
    return Rows(tuple(keys), names, values, key, notes)


def _load(path: Path) -> np.ndarray:
    with _reasons(path):
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _load_one(path: Path) -> np.ndarray:
    """Return a file's (F,) numbers; one row of a table counts as a vector."""
    with _reasons(path):
        vector = np.asarray(np.load(path, allow_pickle=False))
    if vector.dtype.kind not in "fiu" or not vector.size or max(vector.shape, default=0) != vector.size:
        raise UserError(f"{path}: {vector.dtype} of shape {vector.shape}; in a folder each file holds one vector")
    return vector.reshape(-1)


def _read_ids(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    return tuple(line.strip() for line in lines if line.strip())


def _find_texts(arrays: dict[str, np.ndarray], names: Sequence[str], count: int) -> tuple[str, ...] | None:
    """Return the array of texts, or of whole numbers, that is called so and of the length wanted."""
    for name in names:
        one = arrays.get(name)
        if one is not None and one.shape == (count,) and one.dtype.kind in "USiu":
            return tuple(text.decode() if isinstance(text, bytes) else str(text) for text in one.tolist())
    return None
