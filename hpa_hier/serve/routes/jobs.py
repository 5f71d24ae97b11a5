"""Routes of jobs: images in, answers and pictures out."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import cv2
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpa_hier.predict.explanation.draw import composite, encode_png
from hpa_hier.predict.explanation.explained import Picture
from hpa_hier.serve.cards import make_card, make_row
from hpa_hier.serve.routes.shapes import Card, JobList, JobState, Predicted, Rows, answers
from hpa_hier.serve.safety.refusal import Refusal
from hpa_hier.serve.service import Served, Service
from hpa_hier.serve.uploads.decoder import Undecoded
from hpa_hier.serve.uploads.forms import receive_form
from hpa_hier.serve.work.job import Job

router = APIRouter(tags=["jobs"])
_LONGEST_WAIT = 120.0  # seconds
_THUMBNAIL = 128  # pixels
_LARGEST = 2048  # pixels, side of a picture
_PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}}
_PREDICTED: dict[int | str, dict[str, Any]] = {200: {"model": Predicted}, 202: {"model": Predicted}}
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "ensemble": {"type": "string"},
                        "channels": {"type": "string"},
                        "may_be_missing": {"type": "string", "description": "separated by commas"},
                        "frame": {"type": "string"},
                    },
                }
            }
        },
    }
}


class Wanted(BaseModel):
    """What a job is asked for."""

    model_config = ConfigDict(extra="forbid")

    ensemble: str | None = Field(default=None, max_length=200, description="name; null: the default one")
    channels: str | None = Field(
        default=None, max_length=500, description="which channel is where, if names do not say"
    )
    may_be_missing: list[str] = Field(default=[], max_length=8, description="channels that images may lack")
    frame: str | None = Field(
        default=None, max_length=20, description="of a time series: first, middle, last or its number"
    )
    paths: list[str] = Field(
        default=[], max_length=1000, description="folders and images of the server, below its roots"
    )


@router.post("/jobs", status_code=201, **answers(JobState, 201))
def make_job(wanted: Wanted, request: Request, service: Served) -> dict[str, Any]:
    """Make a job; with paths it begins at once, else files are sent to it."""
    return service.jobs.to_json(_make(wanted, request, service))


@router.get("/jobs", **answers(JobList))
def list_jobs(service: Served) -> dict[str, Any]:
    """List the jobs that are kept."""
    return {"jobs": [service.jobs.to_json(job) for job in service.jobs.list()]}


@router.get("/jobs/{job}", **answers(JobState))
def get_job(job: str, service: Served) -> dict[str, Any]:
    """Return how far a job is."""
    return service.jobs.to_json(service.jobs.get(job))


@router.delete("/jobs/{job}", status_code=204, response_model=None)
def remove_job(job: str, service: Served) -> None:
    """Cancel a job, and remove its files; corrections stay."""
    service.jobs.remove(service.jobs.get(job))


@router.post("/jobs/{job}/files", openapi_extra=_FORM, **answers(JobState))
async def send_files(job: str, request: Request, service: Served) -> dict[str, Any]:
    """Send files to a job, as often as needed; their names may hold folders."""
    found = service.jobs.get(job)
    if found.state != "open" or found.paths:
        raise Refusal("conflict", f"the job is {found.state}; make another for more images")
    await _receive(found, request, service)
    return service.jobs.to_json(found)


@router.post("/jobs/{job}/start", status_code=202, **answers(JobState, 202))
def start_job(job: str, service: Served) -> dict[str, Any]:
    """Let a job begin, once its files are there."""
    found = service.jobs.get(job)
    service.jobs.start(found)
    return service.jobs.to_json(found)


@router.post("/predict", status_code=202, openapi_extra=_FORM, response_model=None, responses=_PREDICTED)
async def predict(
    request: Request,
    response: Response,
    service: Served,
    wait: Annotated[float, Query(ge=0, le=_LONGEST_WAIT, description="seconds to wait for the answers")] = 0.0,
) -> dict[str, Any]:
    """Send images, or paths in JSON, and get a job, or with `wait` the answers."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        job = await asyncio.to_thread(_make, await _read_json(request), request, service)
        if not job.paths:
            service.jobs.remove(job)
            raise Refusal("bad_request", "no paths; name some, or send files as multipart/form-data")
    elif kind == "multipart/form-data":
        job = await _make_of_form(request, service)
    else:
        raise Refusal("unsupported", f"a body of type {kind[:60]!r}; send multipart/form-data, or application/json")
    ends = asyncio.get_running_loop().time() + wait
    while not job.is_over and asyncio.get_running_loop().time() < ends:
        await asyncio.sleep(0.02)
    if not job.is_over:
        return {"job": service.jobs.to_json(job)}
    if job.state != "done":
        raise Refusal(job.code, job.error or f"the job is {job.state}")
    response.status_code = 200
    ready = sorted(job.ready, key=lambda one: int(one.key))
    cards = await asyncio.to_thread(lambda: [make_card(job, one) for one in ready])
    return {"job": service.jobs.to_json(job), "samples": cards}


@router.get("/jobs/{job}/samples", **answers(Rows))
def list_samples(
    job: str,
    service: Served,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
) -> dict[str, Any]:
    """Return rows in the order in which they became ready."""
    found = service.jobs.get(job)
    about = service.jobs.to_json(found)  # first: what it counts as ready is then among the rows
    with found.lock:
        chosen = found.ready[after : after + limit]
    return {"job": about, "samples": [make_row(one) for one in chosen], "next": after + len(chosen)}


@router.get("/jobs/{job}/samples/{key}", **answers(Card))
def get_sample(job: str, key: str, service: Served) -> dict[str, Any]:
    """Return all that is said of one image."""
    found = service.jobs.get(job)
    return make_card(found, found.find(key))


@router.get("/jobs/{job}/samples/{key}/channels/{name}.png", response_class=Response, responses=_PNG)
def get_channel(
    job: str,
    key: str,
    name: str,
    service: Served,
    side: Annotated[int, Query(ge=16, le=_LARGEST)] = 1024,
    low: Annotated[float | None, Query(ge=0, le=65535)] = None,
    high: Annotated[float | None, Query(ge=0, le=65535)] = None,
) -> Response:
    """Return one channel as a grey PNG, its intensities from `low` to `high` spread over black to white."""
    found = service.jobs.get(job)
    one = found.find(key)
    if name not in one.source["planes"]:
        there = ", ".join(one.source["planes"])
        raise Refusal("not_found", f"the image has no channel '{name[:40]}'; it has {there}")
    out = found.folder / f"{key}-{name}-{id(one):x}.png"
    try:
        about = service.jobs.pictures.ask(
            "draw",
            found.folder,
            service.limits.seconds_per_image,
            source=one.source,
            spec=found.spec.to_json(),
            channel=name,
            side=side,
            low=low,
            high=high,
            out=str(out),
        )
        content = out.read_bytes()
    except Undecoded as error:
        raise Refusal("cannot", f"the picture cannot be drawn: {found.clean(str(error))}") from None
    finally:
        out.unlink(missing_ok=True)
    headers = {f"X-{what.title()}": f"{about[what]:g}" for what in ("low", "high", "min", "max", "depth")}
    return Response(content, media_type="image/png", headers=headers)


@router.get("/jobs/{job}/samples/{key}/thumbnail.png", response_class=Response, responses=_PNG)
def get_thumbnail(job: str, key: str, service: Served) -> Response:
    """Return all channels together, in their colours, as the networks see them."""
    found = service.jobs.get(job)
    one = found.find(key)
    picture = Picture(found.pixels(one), found.spec.channels, one.answers.filled[0])
    return Response(encode_colours(picture, _THUMBNAIL), media_type="image/png")


def encode_colours(picture: Picture, side: int) -> bytes:
    """Return a picture's channels together in their colours as a PNG.

    Args:
        picture: as members take it.
        side: pixels, of the PNG.
    """
    together = composite(picture)
    return encode_png(cv2.resize(together, (side, side), interpolation=cv2.INTER_AREA))


def _make(wanted: Wanted, request: Request, service: Service) -> Job:
    """Make a job as it is wanted; one with paths begins."""
    paths = service.find_paths(wanted.paths) if wanted.paths else ()
    job = service.jobs.create(
        service.choose(wanted.ensemble),
        request.client.host if request.client else "",
        wanted.channels or None,
        wanted.may_be_missing,
        wanted.frame or None,
        paths,
        service.plan.roots,
    )
    if paths:
        service.jobs.start(job)
    return job


async def _make_of_form(request: Request, service: Service) -> Job:
    """Receive a form into a job of its own, and let it begin."""
    job = await asyncio.to_thread(_make, Wanted(), request, service)
    try:
        fields = await _receive(job, request, service)
        unknown = sorted(fields.keys() - {"ensemble", "channels", "may_be_missing", "frame"})
        if unknown:
            raise Refusal("bad_request", f"no field is called '{unknown[0][:40]}'; files need a file name")
        if fields:
            missing = [part.strip() for part in fields.pop("may_be_missing", "").split(",") if part.strip()]
            wanted = _check({"may_be_missing": missing, **fields})
            again = await asyncio.to_thread(_make, wanted, request, service)
            job = _hand_over(service, job, again)
        await asyncio.to_thread(service.jobs.start, job)
    except BaseException:
        service.jobs.remove(job)
        raise
    return job


def _hand_over(service: Service, job: Job, again: Job) -> Job:
    """Give the files that one job received to another, made for what the fields beside them ask."""
    again.uploads.folder.rmdir()
    job.uploads.folder.rename(again.uploads.folder)
    shown, rejected, aside = job.uploads.shown, job.uploads.rejected, job.uploads.aside
    again.uploads.shown, again.uploads.rejected, again.uploads.aside = shown, rejected, aside
    again.uploads.files, again.uploads.bytes = job.uploads.files, job.uploads.bytes
    service.jobs.remove(job)
    return again


async def _receive(job: Job, request: Request, service: Service) -> dict[str, str]:
    job.receiving += 1
    try:
        content_type = request.headers.get("content-type", "")
        return await receive_form(content_type, request.stream(), job.uploads, service.limits)
    finally:
        job.receiving -= 1


async def _read_json(request: Request) -> Wanted:
    try:
        content = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise Refusal("bad_request", "no JSON; send an object with ensemble, paths and so on") from None
    return _check(content)


def _check(content: object) -> Wanted:
    """Return what is wanted, or refuse what is none."""
    try:
        return Wanted.model_validate(content)
    except (ValidationError, RecursionError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": "too deep"}
        told = f"{'.'.join(map(str, first['loc'])) or 'the request'}: {first['msg']}"
        raise Refusal("bad_request", f"{told}; send ensemble, paths and so on, as /openapi.json says") from None
