"""Label files as tables of text: CSV, .parquet and .feather, and the observations of .h5ad."""

from __future__ import annotations

from pathlib import Path

from hpa_hier.files.annotated import SUFFIX, read_annotations
from hpa_hier.files.columnar import FORMATS, read_columnar_cells
from hpa_hier.files.csv_file import CsvTable, read_csv


def read_label_cells(path: Path) -> CsvTable:
    """Read a file of labels, whatever its format, as header and rows of text.

    Raises:
        UserError: it cannot be read, or a library that its format needs is missing.
    """
    if path.suffix.lower() == SUFFIX:
        return read_annotations(path)
    if path.suffix.lower() in FORMATS:
        return read_columnar_cells(path)
    return read_csv(path)  # by hand: pandas neither names the line of a mistake nor leaves 007 alone
