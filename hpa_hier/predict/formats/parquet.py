"""probabilities.parquet: the id and one column of float64 a node; read by pandas, polars, R's arrow and DuckDB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from pyarrow import parquet

from hpa_hier.predict.formats.rows import Rows
from hpa_hier.taxonomy import Taxonomy

_GROUP = 8192  # samples a row group; small ones make a file slow to read


class ParquetWriter:
    """Writes samples in row groups, so that memory stays the same however many there are."""

    def __init__(self, path: Path, taxonomy: Taxonomy) -> None:
        columns: list[tuple[str, Any]] = [("id", pyarrow.string())]
        columns += [(node, pyarrow.float64()) for node in taxonomy.nodes]
        self._schema = pyarrow.schema(columns)
        self._writer = parquet.ParquetWriter(path, self._schema)
        self._waiting: list[Rows] = []

    def add(self, rows: Rows) -> None:
        """Append samples."""
        self._waiting.append(rows)
        if sum(map(len, self._waiting)) >= _GROUP:
            self._write()

    def close(self) -> None:
        """Finish the file."""
        if self._waiting:
            self._write()
        self._writer.close()

    def _write(self) -> None:
        ids = [sample for rows in self._waiting for sample in rows.ids]
        probs = np.concatenate([rows.probs for rows in self._waiting])
        self._writer.write_table(pyarrow.table([ids, *probs.T], schema=self._schema))
        self._waiting.clear()
