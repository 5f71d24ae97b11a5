"""App: the routes behind the guard; errors of every kind become one line of JSON."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from hpa_hier import __version__
from hpa_hier.errors import UserError
from hpa_hier.serve import page
from hpa_hier.serve.routes import corrections, explain, exports, jobs, status
from hpa_hier.serve.routes.shapes import Problem
from hpa_hier.serve.safety.guard import Doors, Guard, explain_error
from hpa_hier.serve.safety.refusal import Refusal
from hpa_hier.serve.service import Service

_ABOUT = """Images in, places of the protein out, each with its reasons. Every error is one line of JSON:
`{"error": "what is wrong; what to do", "code": "…", "status": 422}`."""


def make_app(service: Service, doors: Doors) -> ASGIApp:
    """Return the application for a service, with its guard around it."""
    app = FastAPI(
        title="hpa_hier",
        version=__version__,
        description=_ABOUT,
        docs_url=None,  # these pages load their scripts from elsewhere
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        responses={"default": {"model": Problem, "description": "Refused, or failed"}},
    )
    app.state.service = service
    service.needs_token = doors.token is not None
    for kind in (Refusal, UserError, OSError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _refuse)
    for one in (status, jobs, explain, corrections, exports, page):
        app.include_router(one.router)
    return Guard(app, doors, service.limits, service.metrics.count)


async def _refuse(request: Request, error: Exception) -> Response:
    """Return the answer to a request that cannot be answered."""
    refusal = _translate(error) or explain_error(error)
    return Response(refusal.body, refusal.status, refusal.headers)


def _translate(error: Exception) -> Refusal | None:
    """Return what an error of the framework is here; None: it is none of the framework."""
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"][1:]))  # the first says in what: body, query or path
        return Refusal("bad_request", f"{place or 'the request'}: {first['msg']}; /openapi.json says what is taken")
    if not isinstance(error, HTTPException):
        return None
    if isinstance(error.__cause__, Refusal):
        return error.__cause__
    if error.status_code == 404:
        return Refusal("not_found", "no such address; /openapi.json lists those there are")
    if error.status_code == 405:
        return Refusal("method", "not this method here; /openapi.json lists those there are")
    return Refusal("bad_request", f"{error.detail}; /openapi.json says what is taken")
