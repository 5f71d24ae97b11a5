"""Table of probabilities in each format that it can be written in; those that need a library name their extra."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeAlias

from hpa_hier.errors import UserError
from hpa_hier.files.tables import safe_cell
from hpa_hier.predict.formats.rows import Rows, Writer, join_rows
from hpa_hier.taxonomy import Taxonomy

Opener: TypeAlias = Callable[[Path, Taxonomy], Writer]


class CsvWriter:
    """probabilities.csv: id, then one column a node, with six decimals."""

    def __init__(self, path: Path, taxonomy: Taxonomy) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(["id", *map(safe_cell, taxonomy.nodes)])

    def add(self, rows: Rows) -> None:
        """Append samples."""
        for sample, row in zip(rows.ids, rows.probs, strict=True):
            self._rows.writerow([safe_cell(sample), *(f"{prob:.6f}" for prob in row)])

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


def _open_parquet(path: Path, taxonomy: Taxonomy) -> Writer:
    from hpa_hier.predict.formats.parquet import ParquetWriter

    return ParquetWriter(path, taxonomy)


def _open_h5ad(path: Path, taxonomy: Taxonomy) -> Writer:
    from hpa_hier.predict.formats.h5ad import H5adWriter

    return H5adWriter(path, taxonomy)


FORMATS: Final[dict[str, Opener]] = {"csv": CsvWriter, "parquet": _open_parquet, "h5ad": _open_h5ad}
_BLOCK = 1024  # samples that are written together
_LIBRARIES = {"parquet": "pyarrow", "h5ad": "h5py"}  # each an extra of the format's name


def check_format(name: str) -> None:
    """Refuse a format that this installation cannot write.

    Raises:
        UserError: naming the extra that it needs.
    """
    library = _LIBRARIES.get(name)
    if library and find_spec(library) is None:
        raise UserError(f"--format {name}: needs {library}, which is not installed; pip install 'hpa-hier[{name}]'")
    if library:
        import_module(library)  # before anything is predicted


@contextmanager
def open_probabilities(path: Path, taxonomy: Taxonomy) -> Iterator[Writer]:
    """Open a table of probabilities, in the format of the path's suffix, for the nodes of a taxonomy."""
    writer = Blocks(FORMATS[path.suffix.removeprefix(".")](path, taxonomy))
    try:
        yield writer
    finally:
        writer.close()


class Blocks:
    """Hands samples to a writer in blocks of one size, so that the file's bytes do not depend on how they come."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._waiting: list[Rows] = []

    def add(self, rows: Rows) -> None:
        """Append samples."""
        self._waiting.append(rows)
        if sum(map(len, self._waiting)) >= _BLOCK:
            joined = join_rows(self._waiting)
            whole = len(joined) // _BLOCK * _BLOCK
            for start in range(0, whole, _BLOCK):
                self._writer.add(joined.take(range(start, start + _BLOCK)))
            self._waiting = [joined.take(range(whole, len(joined)))] if whole < len(joined) else []

    def close(self) -> None:
        """Write what is left and finish the file."""
        if self._waiting:
            self._writer.add(join_rows(self._waiting))
        self._writer.close()
