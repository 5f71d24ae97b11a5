"""The table of benchmarks/reports.py as Markdown, and a row of it in the head of each recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpa_hier.files.atomic import write_text

RECIPES = Path(__file__).resolve().parents[1] / "configs" / "reports"
OWN = "default"  # the project's own ensemble
SAME_SETTINGS = (
    ", default settings"  # appended to a system's name: combined and thresholded by the own recipe's settings
)
HEAD = "# Cost and score here: "
METRICS = ("macro_f1", "minority_f1", "sample_f1", "micro_f1", "subset_accuracy", "mean_ap")
WORDS = ("macro F1", "minority macro F1", "sample F1", "micro F1", "subset accuracy", "mean AP")

Row = dict[str, Any]  # of one system: its cost, and each metric with the ends of its interval


def markdown(rows: Sequence[Row], caption: str) -> str:
    """Write the table and the own recipe's lead over every system, and over its networks with the own settings."""
    own = [row for row in rows if not row["system"].endswith(SAME_SETTINGS)]
    same_settings = [row for row in rows if row["system"].endswith(SAME_SETTINGS)]
    lines = [caption, "", "| system | networks | million weights | images/s | " + " | ".join(WORDS) + " |"]
    lines.append("| --- | --- | --- | --- |" + " --- |" * len(WORDS))
    for row in own:
        cost = f"{row['networks']} | {row['parameters'] / 1e6:.1f} | {row['images_per_second']:,.0f}"
        lines.append(f"| {row['system']} | {cost} | " + " | ".join(_cell(row[metric]) for metric in METRICS) + " |")
    lines += _leads(f"Lead of `{OWN}` over each, paired on the same images", own)
    lines += _leads(
        f"The same where every network is combined and thresholded by the settings of `{OWN}`", same_settings
    )
    return "\n".join(lines) + "\n"


def _leads(title: str, rows: Sequence[Row]) -> list[str]:
    rows = [row for row in rows if "macro_f1 lead" in row]
    if not rows:
        return []
    columns = ("macro_f1", "minority_f1", "mean_ap")
    words = " | ".join(WORDS[METRICS.index(metric)] for metric in columns)
    lines = ["", f"{title}:", "", f"| system | its macro F1 | lead in {words.replace(' | ', ' | in ')} |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for row in rows:
        cells = (_cell(row[f"{metric} lead"], sign=True) for metric in columns)
        name = row["system"].removesuffix(SAME_SETTINGS)
        lines.append(f"| {name} | {_cell(row['macro_f1'])} | " + " | ".join(cells) + " |")
    return lines


def write_heads(rows: Sequence[Row], steps: int) -> None:
    """Put each system's cost and score into the head of its recipe."""
    for row in rows:
        path = RECIPES / f"{row['system']}.yaml"
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            start, end = text.index(HEAD), text.index("# Reported: ")
            write_text(path, text[:start] + head(row, steps) + text[end:])


def head(row: Row, steps: int) -> str:
    """Return the lines of a recipe's head that tell its cost and score."""
    networks = "" if row["networks"] == 1 else f"{row['networks']} networks of "
    return (
        f"{HEAD}{networks}{steps} steps, {row['parameters'] / 1e6:.1f} million weights, "
        f"{row['seconds'] / 60:.1f} minutes of one core.\n"
        f"#   Macro F1 {_cell(row['macro_f1'])}, minority classes {_cell(row['minority_f1'])}, "
        f"mean AP {_cell(row['mean_ap'])};\n"
        "#   simulated, from random weights, small images: benchmarks/reports.md, `python benchmarks/reports.py`.\n"
    )


def _cell(values: list[float | None], *, sign: bool = False) -> str:
    plus = "+" if sign else ""
    # what rounds to nothing has no minus; what is not defined on so few images is a dash
    point, low, high = ("–" if value is None else f"{round(value, 3) + 0.0:{plus}.3f}" for value in values)
    return f"{point} [{low}, {high}]"
