"""Routes of the server itself: whether it is well, its limits, its ensembles, its metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from hpa_hier import __version__
from hpa_hier.data.images.readers import READERS
from hpa_hier.serve.catalog import describe, describe_tree
from hpa_hier.serve.routes.shapes import EnsembleList, EnsembleShape, answers
from hpa_hier.serve.service import Served

router = APIRouter(tags=["server"])


@router.get("/healthz")
def healthz(service: Served, response: Response) -> dict[str, Any]:
    """Tell whether the server answers."""
    response.status_code = 503 if service.stopping else 200
    state = "stopping" if service.stopping else "ok"
    return {"status": state, "version": __version__, "token": service.needs_token}


@router.get("/limits")
def limits(service: Served) -> dict[str, Any]:
    """Return how much may be asked, and where."""
    from hpa_hier.data.images.reader import MAX_PIXELS

    return {
        **service.limits.to_json(),
        "pixels": MAX_PIXELS,
        "suffixes": sorted(READERS),
        "roots": [str(root) for root in service.plan.roots],
        "corrections": str(service.plan.corrections.absolute()),
    }


@router.get("/ensembles", **answers(EnsembleList))
def ensembles(service: Served) -> dict[str, Any]:
    """List the ensembles with what people should know before they trust them."""
    default = service.catalog.default()
    found = [describe(one, service.engine.loaded == one.folder) for one in service.catalog.list()]
    return {"default": default.name if default else None, "ensembles": found}


@router.get("/ensembles/{name}", **answers(EnsembleShape))
def ensemble(name: str, service: Served) -> dict[str, Any]:
    """Return one ensemble with its label tree."""
    one = service.catalog.get(name)
    return {**describe(one, service.engine.loaded == one.folder), "tree": describe_tree(one)}


@router.get("/metrics", response_class=Response)
def metrics(service: Served) -> Response:
    """Return counters for Prometheus."""
    return Response(service.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")
