"""The held-out table of a fit: each class's metrics out of fold, the aggregate's beside the mean's."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from hpa_hier.ensemble.verdict import METRICS, Interval, Verdict
from hpa_hier.files.atomic import write_json, write_text
from hpa_hier.predict.tables import safe_cell

CSV, JSON = "held_out.csv", "held_out.json"
_HEADER = ("node", "positives", *(f"{f}{part}" for f in ("ap", "f1") for part in ("", "_low", "_high", "_of_mean")))


def write_held_out(folder: Path, verdict: Verdict) -> str:
    """Write `held_out.csv` and `held_out.json`, and return a line for people.

    Args:
        folder: the run's ensemble folder.
        verdict: from `accept.compare`; of a fit that was not compared nothing is written, and old files are removed.

    Returns:
        Macro F1 and mean AP of the aggregate with intervals, beside the mean's; "" where nothing was compared.
    """
    if verdict.comparison is None:
        for name in (CSV, JSON):
            (folder / name).unlink(missing_ok=True)
        return ""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADER)
    ours, theirs = verdict.comparison.ensemble, verdict.comparison.mean
    whole = [*_cells(ours.mean_ap, theirs.mean_ap), *_cells(ours.macro_f1, theirs.macro_f1)]
    writer.writerow(["all classes", "", *whole])
    for row in verdict.comparison.classes:
        cells = [
            cell
            for one in (row.ap, row.f1)
            for cell in _cells(Interval(value=one.ensemble, low=one.low, high=one.high), one.mean)
        ]
        writer.writerow([safe_cell(row.node), row.positives, *cells])
    write_text(folder / CSV, text.getvalue())
    write_json(folder / JSON, verdict.to_json())
    metrics = ", ".join(
        f"{METRICS[name]} {one.value:.3f} ({one.low:.3f} to {one.high:.3f}; the mean {mean:.3f})"
        for name, one, mean in (
            ("macro_f1", ours.macro_f1, theirs.macro_f1),
            ("mean_ap", ours.mean_ap, theirs.mean_ap),
        )
    )
    return f"out of fold, the aggregate: {metrics}; each class in {folder / CSV}"


def _cells(one: Interval, of_mean: float | None) -> list[str]:
    return ["" if value is None else f"{value:.4f}" for value in (one.value, one.low, one.high, of_mean)]
