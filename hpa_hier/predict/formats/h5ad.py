"""probabilities.h5ad: an AnnData file, with samples as observations and nodes as variables.

Written by h5py as AnnData's documentation of its format on disk says (encoding version 0.1.0), since anndata itself
keeps everything in memory and holds pandas back. obs has the columns of predictions.csv, var each node's Gene Ontology
id, levels and parent, X the probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpa_hier.predict.formats.rows import COLUMNS, Rows
from hpa_hier.taxonomy import Taxonomy

_TEXT = h5py.string_dtype("utf-8")
_CHUNK = 1024  # samples


class H5adWriter:
    """Writes samples as they come, so that memory stays the same however many there are."""

    def __init__(self, path: Path, taxonomy: Taxonomy) -> None:
        self._file = h5py.File(path, "w")
        _encode(self._file, "anndata", "0.1.0")
        for name in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
            _encode(self._file.create_group(name), "dict", "0.1.0")
        width = len(taxonomy.nodes)
        self._probs = self._file.create_dataset(
            "X", (0, width), np.float64, maxshape=(None, width), chunks=(_CHUNK, width)
        )
        _encode(self._probs, "array", "0.2.0")
        _write_frame(self._file.create_group("var"), taxonomy.nodes, _describe_nodes(taxonomy))
        answers = {name: np.empty(0, _dtype(name)) for name in COLUMNS[1:]}
        self._answers = _write_frame(self._file.create_group("obs"), (), answers)

    def add(self, rows: Rows) -> None:
        """Append samples."""
        for name, dataset in self._answers.items():
            values = rows.ids if name == "_index" else rows.columns[name]
            _append(dataset, np.asarray(values, dtype=object if dataset.dtype == object else np.float64))
        _append(self._probs, rows.probs)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


def _describe_nodes(taxonomy: Taxonomy) -> dict[str, np.ndarray]:
    """Return what is known of each node: Gene Ontology id, levels and parents, names joined by '|'."""
    of_level = {level: set(taxonomy.level(level)) for level in taxonomy.levels}
    texts = {
        "go": [taxonomy.node(node).go or "" for node in taxonomy.nodes],
        "level": ["|".join(level for level, nodes in of_level.items() if node in nodes) for node in taxonomy.nodes],
        "parent": ["|".join(taxonomy.parents(node)) for node in taxonomy.nodes],
    }
    return {name: np.array(values, dtype=object) for name, values in texts.items()}


def _write_frame(group: h5py.Group, index: Sequence[str], columns: Mapping[str, np.ndarray]) -> dict[str, h5py.Dataset]:
    """Write a data frame of texts and numbers, which may grow; return its datasets by name."""
    _encode(group, "dataframe", "0.2.0")
    group.attrs["_index"] = "_index"
    group.attrs.create("column-order", list(columns), dtype=_TEXT)
    made = {}
    for name, values in {"_index": np.array(index, dtype=object), **columns}.items():
        text = values.dtype == object
        made[name] = group.create_dataset(
            name, data=values, dtype=_TEXT if text else values.dtype, maxshape=(None,), chunks=(_CHUNK,)
        )
        _encode(made[name], "string-array" if text else "array", "0.2.0")
    return made


def _dtype(column: str) -> Any:  # noqa: ANN401 - numpy takes types of many kinds
    return np.float64 if column.startswith("prob_") else object


def _append(dataset: h5py.Dataset, values: np.ndarray) -> None:
    start = len(dataset)
    dataset.resize(start + len(values), axis=0)
    dataset[start:] = values


def _encode(where: h5py.Group | h5py.Dataset, kind: str, version: str) -> None:
    where.attrs["encoding-type"], where.attrs["encoding-version"] = kind, version
