"""Routes of corrections: labels that people give, and the ensemble that is adapted to them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from hpa_hier.serve.cards import make_row
from hpa_hier.serve.corrections import (
    Corrections,
    adapt_command,
    check_labels,
    clear_folder,
    describe,
    missing_channels,
)
from hpa_hier.serve.routes.shapes import AdaptingState, CorrectionList, Row, answers
from hpa_hier.serve.safety.refusal import Refusal
from hpa_hier.serve.service import Served
from hpa_hier.serve.uploads.decoder import Undecoded

router = APIRouter(tags=["corrections"])


class Correction(BaseModel):
    """What a person says of an image."""

    model_config = ConfigDict(extra="forbid")

    labels: list[str] = Field(default=[], max_length=100, description="leaves or open groups of the label tree")
    unsure: bool = Field(default=False, description="cannot tell: noted in the job, and in no table")
    note: str = Field(default="", max_length=1000)


class Adaptation(BaseModel):
    """Which ensemble is adapted, and what the new one is called."""

    model_config = ConfigDict(extra="forbid")

    ensemble: str = Field(max_length=200)
    out: str | None = Field(default=None, max_length=64, description="name of the new run; null: one that is free")


@router.put("/jobs/{job}/samples/{key}/correction", **answers(Row))
def correct(job: str, key: str, correction: Correction, service: Served) -> dict[str, Any]:
    """Give an image labels; they are kept on disk, with the image."""
    found = service.jobs.get(job)
    one = found.find(key)
    kept = Corrections.of(service.plan.corrections, found.listed)
    before = (one.correction or {}).get("kept")
    if correction.unsure:
        if before:
            kept.remove(before)
        one.correction = {"labels": [], "unsure": True, "note": correction.note, "kept": None}
        return make_row(one)
    labels = check_labels(one.answers.taxonomy, correction.labels)
    folder = found.folder / f"keep-{key}"
    clear_folder(folder)
    try:
        about = service.jobs.pictures.ask(
            "keep",
            found.folder,
            service.limits.seconds_per_image,
            source=one.source,
            spec=found.spec.to_json(),
            channels=list(found.spec.channels),
            out=str(folder),
        )
        planes = {channel: folder / f"{channel}.png" for channel in about["channels"]}
        place = kept.keep(one.id, planes, labels, correction.note)
    except Undecoded as error:
        raise Refusal("cannot", f"the image cannot be kept: {found.clean(str(error))}") from None
    finally:
        clear_folder(folder)
        folder.rmdir()
    one.correction = {"labels": labels, "unsure": False, "note": correction.note, "kept": place}
    return make_row(one)


@router.delete("/jobs/{job}/samples/{key}/correction", **answers(Row))
def take_back(job: str, key: str, service: Served) -> dict[str, Any]:
    """Take an image's correction back."""
    found = service.jobs.get(job)
    one = found.find(key)
    if one.correction and one.correction["kept"]:
        Corrections.of(service.plan.corrections, found.listed).remove(one.correction["kept"])
    one.correction = None
    return make_row(one)


@router.get("/corrections/{ensemble}", **answers(CorrectionList))
def list_corrections(ensemble: str, service: Served) -> dict[str, Any]:
    """Return the corrections of an ensemble's answers, and the command that adapts it to them."""
    listed = service.catalog.get(ensemble)
    return describe(listed, Corrections.of(service.plan.corrections, listed), service.plan.artifacts)


@router.get("/corrections/{ensemble}/labels.csv", response_class=Response)
def get_table(ensemble: str, service: Served) -> Response:
    """Return the label table."""
    kept = Corrections.of(service.plan.corrections, service.catalog.get(ensemble))
    if not kept.table.is_file():
        raise Refusal("not_found", "nothing is corrected yet")
    headers = {"Content-Disposition": 'attachment; filename="labels.csv"'}
    return Response(kept.table.read_bytes(), media_type="text/csv; charset=utf-8", headers=headers)


@router.post("/adapt", status_code=202, **answers(AdaptingState, 202))
def adapt(wanted: Adaptation, service: Served) -> dict[str, Any]:
    """Adapt an ensemble to its corrections, as a run of its own."""
    listed = service.catalog.get(wanted.ensemble)
    kept = Corrections.of(service.plan.corrections, listed)
    if not kept.rows():
        raise Refusal("conflict", "nothing is corrected yet; correct some answers first")
    line, out = adapt_command(listed, kept, service.plan.artifacts, wanted.out, missing_channels(listed, kept))
    service.adapting.start(listed.name, line, out, service.catalog.add)
    return service.adapting.to_json()


@router.get("/adapt", **answers(AdaptingState))
def get_adapting(service: Served) -> dict[str, Any]:
    """Return how far the adapting is."""
    return service.adapting.to_json()


@router.delete("/adapt", **answers(AdaptingState))
def cancel_adapting(service: Served) -> dict[str, Any]:
    """Stop the adapting; nothing is left of it."""
    service.adapting.cancel()
    return service.adapting.to_json()
