"""Routes of exports: a job's answers as files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Response

from hpa_hier.serve.cards import make_row
from hpa_hier.serve.exports.tables import CSV, write_csv, write_json, write_workbook
from hpa_hier.serve.safety.refusal import Refusal
from hpa_hier.serve.service import Served
from hpa_hier.serve.work.job import Job, Ready

router = APIRouter(tags=["exports"])
_PAGES, _MOST_PAGES = 20, 100  # of a PDF, where no cards are named, and at most
_EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@router.get("/jobs/{job}/export/{name}", response_class=Response)
def export(
    job: str,
    name: str,
    service: Served,
    partial: Annotated[bool, Query(description="also where the job is not done: what is ready")] = False,
    keys: Annotated[str, Query(max_length=4000, description="of figures.pdf: keys, separated by commas")] = "",
) -> Response:
    """Return answers as predictions.csv, probabilities.csv, submission.csv, rejected.csv, answers.xlsx or .json, or
    figures.pdf.
    """
    found = service.jobs.get(job)
    if not found.is_over and not partial:
        raise Refusal("conflict", f"the job is {found.state}; wait until it is done, or add ?partial=1")
    if name in CSV:
        with tempfile.TemporaryDirectory(dir=found.folder) as folder:
            return _attach(write_csv(found.join(), name, Path(folder)), name, "text/csv; charset=utf-8")
    if name == "answers.xlsx":
        return _attach(write_workbook(found, found.join()), name, _EXCEL)
    if name == "answers.json":
        return _attach(write_json(found, found.join()), name, "application/json")
    if name == "figures.pdf":
        from hpa_hier.serve.exports.figures import draw_cards  # imports matplotlib

        return _attach(draw_cards(found, _choose(found, keys)), name, "application/pdf")
    there = ", ".join((*CSV, "answers.xlsx", "answers.json", "figures.pdf"))
    raise Refusal("not_found", f"no export is called '{name[:80]}'; there are {there}")


def _choose(job: Job, keys: str) -> list[Ready]:
    """Return the cards that are named, else the most doubtful ones."""
    named = [key for key in keys.split(",") if key]
    if len(named) > _MOST_PAGES:
        raise Refusal("too_large", f"{len(named)} cards; at most {_MOST_PAGES} are drawn at once")
    if named:
        return [job.find(key) for key in named]
    rows = {one.key: make_row(one) for one in job.ready}
    order = sorted(job.ready, key=lambda one: (rows[one.key]["unlike"], rows[one.key]["doubt"]), reverse=True)
    if not order:
        raise Refusal("conflict", "no image has an answer yet; ask again later")
    return order[:_PAGES]


def _attach(content: bytes, name: str, kind: str) -> Response:
    return Response(content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
