"""Routes of reasons: why an answer is as it is, in words, heat maps and the nearest training images."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Annotated, Any, TypeVar

import cv2
import numpy as np
from fastapi import APIRouter, Query, Response

from hpa_hier.predict.explanation.explained import Picture
from hpa_hier.predict.explanation.heat_maps import HEAT_MAP_NOTE, METHOD_NAMES, HeatMap, HeatMaps, Method
from hpa_hier.predict.explanation.neighbours import Neighbours
from hpa_hier.predict.predictor import Predictor
from hpa_hier.serve.routes.jobs import encode_colours
from hpa_hier.serve.routes.shapes import Explanation, Nearest, answers
from hpa_hier.serve.safety.refusal import Refusal
from hpa_hier.serve.service import Served, Service
from hpa_hier.serve.work.job import Job, Ready

router = APIRouter(tags=["explain"])
_PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}}
_SIDE = 256  # pixels, of a neighbour's picture
_Found = TypeVar("_Found")


@router.get("/explain/{job}/{key}", **answers(Explanation))
def explain(job: str, key: str, service: Served) -> dict[str, Any]:
    """Return the reasons for an answer."""
    found = service.jobs.get(job)
    one = found.find(key)
    return {
        "reasons": one.answers.reasons(one.id).to_json(),
        "text": one.answers.explain(one.id),
        "methods": dict(METHOD_NAMES),
        "note": HEAT_MAP_NOTE,
        "members": [member.name for member in one.answers.ensemble.members],
    }


@router.get("/explain/{job}/{key}/heatmaps")
async def list_heat_maps(
    job: str, key: str, service: Served, node: Annotated[str, Query(max_length=300)], method: Method = "grad_cam"
) -> dict[str, Any]:
    """Compute which part of the picture spoke for a node, by each network, and say which have no map and why."""
    found = service.jobs.get(job)
    return (await _find_heat_maps(service, found, found.find(key), node, method)).to_json()


@router.get("/explain/{job}/{key}/heatmap.png", response_class=Response, responses=_PNG)
async def get_heat_map(
    job: str,
    key: str,
    service: Served,
    node: Annotated[str, Query(max_length=300)],
    method: Method = "grad_cam",
    member: Annotated[str | None, Query(max_length=200, description="null: all networks together")] = None,
) -> Response:
    """Return one heat map as a grey PNG: the picture as a square, padded as the networks see it."""
    found = service.jobs.get(job)
    maps = await _find_heat_maps(service, found, found.find(key), node, method)
    return Response(_encode_grey(_choose(maps, member)), media_type="image/png")


@router.get("/explain/{job}/{key}/nearest", **answers(Nearest))
async def list_nearest(job: str, key: str, service: Served) -> dict[str, Any]:
    """Return the training images that are nearest to an image; the first time it takes as long as reading them all."""
    found = service.jobs.get(job)
    nearest = await _find_nearest(service, found, found.find(key))
    images = [
        {
            "id": image.id,
            "labels": list(image.labels),
            "similarity": image.similarity,
            "picture": None if image.pixels is None else f"/explain/{job}/{key}/nearest/{n}.png",
        }
        for n, image in enumerate(nearest.found)
    ]
    return {"images": images, "member": nearest.member, "reason": nearest.absent or None}


@router.get("/explain/{job}/{key}/nearest/{n}.png", response_class=Response, responses=_PNG)
async def get_nearest(job: str, key: str, n: int, service: Served) -> Response:
    """Return the picture of one of the nearest training images."""
    found = service.jobs.get(job)
    nearest = await _find_nearest(service, found, found.find(key))
    if not 0 <= n < len(nearest.found) or nearest.found[n].pixels is None:
        raise Refusal("not_found", "there is no such picture")
    picture = Picture(np.asarray(nearest.found[n].pixels), found.spec.channels, ())
    return Response(encode_colours(picture, _SIDE), media_type="image/png")


async def _find_heat_maps(service: Service, job: Job, one: Ready, node: str, method: Method) -> HeatMaps:
    pixels = await asyncio.to_thread(job.pixels, one)
    name = ("heat", job.key, one.key, node, method)
    found: HeatMaps = await _keep(service, name, job, lambda predictor: predictor.heat_maps(pixels, node, method))
    return found


async def _find_nearest(service: Service, job: Job, one: Ready) -> Neighbours:
    pixels = await asyncio.to_thread(job.pixels, one)
    name = ("near", job.key, one.key)
    found: Neighbours = await _keep(service, name, job, lambda predictor: predictor.neighbours(pixels[None])[0])
    return found


async def _keep(service: Service, name: Hashable, job: Job, work: Callable[[Predictor], _Found]) -> _Found:
    """Return what was computed lately, else compute it in the engine's thread."""
    known: _Found | None = service.recent.get(name)
    if known is not None:
        return known
    future: Future[_Found] = service.engine.call(job.listed.folder, work)
    found = await asyncio.wrap_future(future)
    service.recent.put(name, found)
    return found


def _choose(maps: HeatMaps, member: str | None) -> HeatMap:
    """Return one of the maps; a refusal with the reason where it is not there."""
    if member is None and maps.combined is not None:
        return maps.combined
    for one in maps.maps:
        if one.member == member:
            return one
    reasons = {one.member: one.reason for one in maps.absent}
    if member in reasons:
        raise Refusal("cannot_explain", reasons[member])
    if member is None:
        raise Refusal("cannot_explain", "; ".join(reasons.values()) or f"no network answers for '{maps.node}'")
    there = ", ".join(one.member for one in maps.maps)
    raise Refusal("not_found", f"no map of a member '{member[:80]}'; there are {there or 'none'}")


def _encode_grey(heat: HeatMap) -> bytes:
    shown = np.rint(np.clip(heat.values, 0, 1) * 255).astype(np.uint8)
    return bytes(cv2.imencode(".png", shown)[1].tobytes())
