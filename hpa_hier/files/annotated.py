"""Annotated data, .h5ad: AnnData's file format, read by h5py, for anndata itself would hold pandas back.

Read as AnnData's documentation of its format on disk says, with what older versions and SubCellPortable write.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.files.csv_file import CsvTable
from hpa_hier.files.extras import import_extra
from hpa_hier.files.faults.arrays import check_unpacked
from hpa_hier.files.faults.damage import damage_told

if TYPE_CHECKING:
    import h5py

SUFFIX = ".h5ad"
_INDEX = ("_index", "index")  # a frame's row names, where it does not say which they are
_OLD_CATEGORIES = "__categories"
_MOST_PARTS = 50_000  # groups and arrays of a file
_WITHIN = (0, 1)  # kinds of links that stay in a file: hard and soft


@contextmanager
def open_annotated(path: Path) -> Iterator[h5py.File]:
    """Open an .h5ad file for reading.

    Raises:
        UserError: h5py is missing, or the file is absent or of another format.
    """
    library = import_extra("h5py", "h5ad", path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    told = damage_told(path, "no HDF5 file of AnnData, or a damaged one", "write it again")
    with told, library.File(path, "r") as file:
        _check_links(path, file)
        yield file


def _check_links(path: Path, file: h5py.File) -> None:
    """Refuse a file of which a part is a link to another one, or of too many parts, and open none of them for it."""
    count, links = 0, file.id.links

    def find_problem(name: bytes, link: Any) -> str | None:  # noqa: ANN401 - an error that is raised here is lost
        nonlocal count
        count += 1
        if count > _MOST_PARTS:
            return f"has more than {_MOST_PARTS:,} parts; is it the right file?"
        return _tell_elsewhere(_decode(name), links.get_val(name)[0]) if link.type not in _WITHIN else None

    if problem := links.visit(find_problem, info=True):
        raise UserError(f"{path}: {problem}")


def check_part(part: h5py.Dataset) -> None:
    """Refuse an array whose numbers are in another file, or that claims out of all proportion to its own.

    Raises:
        UserError: they are, or it does.
    """
    path = Path(part.file.filename)
    sources = part.virtual_sources() if part.is_virtual else ()
    others = [*(one[0] for one in part.external or ()), *(one.file_name for one in sources if one.file_name != ".")]
    if others:
        raise UserError(f"{path}: {_tell_elsewhere(part.name, others[0])}")
    check_unpacked(path, max(part.size, prod(part.chunks or ())) * part.dtype.itemsize)


def _tell_elsewhere(name: str, other: object) -> str:
    return f"its part {name!r} is in another file, {_decode(other)!r}; put it into this one"


def read_row_names(file: h5py.File, frame: str = "obs") -> tuple[str, ...] | None:
    """Return the row names of obs or var; None where it has none."""
    where = file.get(frame)
    name = None if where is None else _find_index(where)
    return None if name is None else read_column(file, name, frame)


def list_columns(file: h5py.File) -> tuple[str, ...]:
    """Return the names of the columns of obs, in their order, without its row names."""
    where = file.get("obs")
    if where is None:
        return ()
    names = dict.fromkeys(_name_columns(where))
    order = [name for name in map(_decode, where.attrs.get("column-order", ())) if name in names]
    left = (_find_index(where), _OLD_CATEGORIES)
    return tuple(name for name in order or names if name not in left)


def read_column(file: h5py.File, name: str, frame: str = "obs") -> tuple[str, ...]:
    """Return a column of obs or var as text: what is missing is "", true and false are 1 and 0."""
    where = file[frame]
    if not hasattr(where, "keys"):
        check_part(where)
    return _read_texts(where[name] if hasattr(where, "keys") else where[name][:], file)


def read_annotations(path: Path) -> CsvTable:
    """Read obs of an .h5ad file as a table of text: the row names as `id`, then its columns.

    Raises:
        UserError: the file cannot be read, or has no rows.
    """
    with open_annotated(path) as file:
        ids = read_row_names(file)
        names = list_columns(file)
        if not ids:
            raise UserError(f"{path}: obs has no row names, which are the samples' ids")
        columns = [column for column in (read_column(file, name) for name in names) if len(column) == len(ids)]
    header = ("id", *(name if name != "id" else "id (obs)" for name in names))
    return CsvTable(str(path), header, tuple(zip(ids, *columns, strict=True)), tuple(range(1, len(ids) + 1)))


def _name_columns(where: h5py.Group | h5py.Dataset) -> list[str]:
    return list(where.keys()) if hasattr(where, "keys") else list(where.dtype.names or ())


def _find_index(where: h5py.Group | h5py.Dataset) -> str | None:
    """Return which column of a frame is its row names."""
    names = _name_columns(where)
    said = where.attrs.get("_index")
    return next((name for name in (*([_decode(said)] if said is not None else []), *_INDEX) if name in names), None)


def _read_texts(element: Any, file: h5py.File) -> tuple[str, ...]:  # noqa: ANN401 - a group, a dataset or an array
    if hasattr(element, "keys"):
        if "categories" in element:
            check_part(element["codes"])
            return _pick(_read_texts(element["categories"], file), element["codes"][:].tolist())
        if "mask" in element:
            check_part(element["mask"])
        missing = element["mask"][:] if "mask" in element else np.zeros(len(element["values"]), bool)
        texts = _read_texts(element["values"], file)
        return tuple("" if gone else text for text, gone in zip(texts, missing.tolist(), strict=True))
    attributes = getattr(element, "attrs", {})
    if hasattr(element, "file"):
        check_part(element)
    if "categories" in attributes:  # before AnnData 0.8: a reference
        return _pick(_read_texts(file[attributes["categories"]], file), element[:].tolist())
    return tuple(map(_describe_cell, np.asarray(element[:]).reshape(-1).tolist()))


def _pick(words: Sequence[str], codes: Sequence[int]) -> tuple[str, ...]:
    return tuple(words[code] if code >= 0 else "" for code in codes)


def _describe_cell(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return "" if value != value else str(int(value)) if value.is_integer() else repr(value)
    return _decode(value)


def _decode(value: object) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
