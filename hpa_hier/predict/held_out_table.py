"""The held-out table of a fit: each class's figures out of fold, the aggregate beside the mean, as CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpa_hier.files.atomic import write_json, write_text
from hpa_hier.predict.tables import safe_cell

CSV, JSON = "held_out.csv", "held_out.json"
_HEADER = ("node", "positives", *(f"{f}{part}" for f in ("ap", "f1") for part in ("", "_low", "_high", "_of_mean")))


def write_held_out(folder: Path, verdict: Mapping[str, Any]) -> str:
    """Write `held_out.csv` and `held_out.json`, and return a line for people.

    Args:
        folder: the run's ensemble folder.
        verdict: from `accept.compare`; of a fit that was not compared nothing is written, and old files are removed.

    Returns:
        Macro F1 and mean AP of the aggregate with intervals, beside the mean's; "" where nothing was compared.
    """
    if not verdict.get("decided"):
        for name in (CSV, JSON):
            (folder / name).unlink(missing_ok=True)
        return ""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADER)
    ours, theirs = verdict["ensemble"], verdict["mean"]
    writer.writerow(
        ["all classes", "", *_cells(ours["mean_ap"], theirs["mean_ap"]), *_cells(ours["macro_f1"], theirs["macro_f1"])]
    )
    for row in verdict["classes"]:
        cells = [
            _cells(row[figure] | {"value": row[figure]["ensemble"]}, row[figure]["mean"]) for figure in ("ap", "f1")
        ]
        writer.writerow([safe_cell(row["node"]), row["positives"], *cells[0], *cells[1]])
    write_text(folder / CSV, text.getvalue())
    write_json(folder / JSON, dict(verdict))
    figures = ", ".join(
        f"{words} {one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f}; the mean {theirs[name]:.3f})"
        for name, words, one in (("macro_f1", "macro F1", ours["macro_f1"]), ("mean_ap", "mean AP", ours["mean_ap"]))
    )
    return f"out of fold, the aggregate: {figures}; each class in {folder / CSV}"


def _cells(one: Mapping[str, float | None], of_mean: float | None) -> list[str]:
    values = (one["value"], one["low"], one["high"], of_mean)
    return ["" if value is None else f"{value:.4f}" for value in values]
