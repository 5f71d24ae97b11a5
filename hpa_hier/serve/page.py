"""Page: the files that the browser shows, each of a name that is known before it is asked for."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fastapi import APIRouter, Response

from hpa_hier.serve.safety.refusal import Refusal

FOLDER = Path(__file__).with_name("static")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
}
router = APIRouter(include_in_schema=False)


@cache
def list_files() -> dict[str, Path]:
    """Return the files of the page by name."""
    return {path.name: path for path in sorted(FOLDER.iterdir()) if path.suffix in _TYPES}


@router.get("/")
def index() -> Response:
    """Return the page."""
    return static("index.html")


@router.get("/static/{name}")
def static(name: str) -> Response:
    """Return a file of the page."""
    path = list_files().get(name)
    if path is None:
        raise Refusal("not_found", f"the page has no file '{name[:80]}'")
    return Response(path.read_bytes(), media_type=_TYPES[path.suffix])
