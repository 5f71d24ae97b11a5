"""Tables: a job's answers as the files that `ensemble predict` writes, as a workbook and as JSON."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from hpa_hier.files.atomic import without_sync
from hpa_hier.files.extras import import_extra
from hpa_hier.predict.answers import Answers
from hpa_hier.predict.formats.rows import COLUMNS
from hpa_hier.predict.tables import open_tables
from hpa_hier.serve.safety.refusal import one_line
from hpa_hier.serve.work.job import Job

CSV = ("predictions.csv", "probabilities.csv", "submission.csv", "rejected.csv")
_PROB = "0.000"  # how a spreadsheet shows probabilities


def write_csv(answers: Answers, name: str, folder: Path) -> bytes:
    """Return one of the tables of `ensemble predict`, byte for byte.

    Args:
        answers: of a job.
        name: of `CSV`.
        folder: empty, for all of them.
    """
    with without_sync(), open_tables(folder, answers.taxonomy) as tables:
        tables.add(answers.rows)
        tables.reject(answers.rejected)
    return (folder / name).read_bytes()


def write_workbook(job: Job, answers: Answers) -> bytes:
    """Return the answers as an Excel workbook: answers, probabilities, what was left out, and what it is about.

    Text stays text, whatever it begins with; probabilities have all their digits.
    """
    book = import_extra("openpyxl", "serve", "answers.xlsx").Workbook(write_only=True)
    corrected = _list_corrections(job)
    rows = answers.rows
    _fill(
        book,
        "answers",
        [*COLUMNS, "corrected"],
        [[*(rows.columns[name][i] for name in COLUMNS), corrected.get(one, "")] for i, one in enumerate(answers.ids)],
    )
    probs = [[one, *row] for one, row in zip(answers.ids, answers.probs.tolist(), strict=True)]
    _fill(book, "probabilities", ["id", *answers.nodes], probs)
    _fill(book, "left out", ["id", "file", "reason"], [list(one) for one in answers.rejected])
    _fill(book, "about", ["what", "is"], [[name, text] for name, text in _describe(job, answers).items()])
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def write_json(job: Job, answers: Answers) -> bytes:
    """Return the answers as JSON, with all probabilities and corrections, and what was left out."""
    found: dict[str, Any] = json.loads(answers.to_json())
    corrections = {one.id: one.correction for one in job.ready if one.correction}
    for sample, file in zip(found["samples"], answers.files, strict=True):
        sample["file"], kept = file, corrections.get(sample["id"])
        sample["corrected"] = None if kept is None else {name: kept[name] for name in ("labels", "unsure", "note")}
    found["about"] = _describe(job, answers)
    return (json.dumps(found, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode()


def _list_corrections(job: Job) -> dict[str, str]:
    kept = {one.id: one.correction for one in job.ready if one.correction}
    return {name: "unsure" if one["unsure"] else "|".join(one["labels"]) for name, one in kept.items()}


def _describe(job: Job, answers: Answers) -> dict[str, str]:
    from hpa_hier import __version__

    return {
        "ensemble": job.listed.name,
        "label tree": answers.taxonomy.name,
        "images": job.place,
        "answered": str(len(answers)),
        "left out": str(len(answers.rejected)),
        "bear in mind": "; ".join(answers.warnings),
        "written by": f"hpa_hier {__version__}",
    }


def _fill(book: Any, title: str, header: list[str], rows: list[list[Any]]) -> None:  # noqa: ANN401 - of openpyxl
    """Write a sheet; a cell of text is never taken for a formula."""
    from openpyxl.cell import WriteOnlyCell

    sheet = book.create_sheet(title)
    sheet.freeze_panes = "B2"

    def cell(value: object) -> object:
        if isinstance(value, float):
            made = WriteOnlyCell(sheet, None if value != value else value)
            made.number_format = _PROB
            return made
        made = WriteOnlyCell(sheet, one_line(str(value), 32_000))
        made.data_type = "s"
        return made

    for row in [header, *rows]:
        sheet.append([cell(value) for value in row])
