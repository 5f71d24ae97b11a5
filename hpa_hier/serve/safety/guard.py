"""Guard: what every request passes before it is answered: host, site, token, size and pace; and what every answer has.

It is the outermost layer, so that nothing is answered without its headers and no error leaves as a traceback.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hpa_hier.errors import UserError
from hpa_hier.serve.safety.limits import Limits
from hpa_hier.serve.safety.refusal import Refusal, one_line

LOG = logging.getLogger("hpa_hier.serve")
_OPEN = ("/", "/healthz", "/openapi.json")  # without a token, and so is all below /static/
_LEFT = 499  # counted where the client left before it was answered, as nginx does
_CHANGING = ("POST", "PUT", "PATCH", "DELETE")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True)
class Doors:
    """Who is let in.

    Attributes:
        hosts: names and addresses, in small letters, that a request may be addressed to; any address where the server
            listens on all of them.
        any_address: whether a request may be addressed to any numeric address: a name is what rebinding needs.
        token: that every request must carry; None: none.
    """

    hosts: Collection[str] = ("127.0.0.1", "localhost", "::1")
    any_address: bool = False
    token: str | None = field(default=None, repr=False)


class Guard:
    """Wraps the application."""

    def __init__(
        self, app: ASGIApp, doors: Doors, limits: Limits, count: Callable[[str, int, float], None] | None = None
    ) -> None:
        self._app, self._doors, self._limits = app, doors, limits
        self._count = count or (lambda method, status, seconds: None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        began, answer = time.monotonic(), _Answer(send, scope["path"])
        try:
            self._check(scope)
            await self._app(scope, _Body(scope, receive, self._limits).receive, answer.send)
        except ClientDisconnect:  # nobody is there to be told
            answer.status = _LEFT if not answer.begun else answer.status
        except Exception as error:
            refusal = explain_error(error)
            if refusal.code == "internal":
                LOG.error("%s %s failed", scope["method"], one_line(scope["path"], 200), exc_info=error)
            if not answer.begun:
                await answer.refuse(refusal)
        finally:
            self._count(scope["method"], answer.status, time.monotonic() - began)

    def _check(self, scope: Scope) -> None:
        size = sum(len(name) + len(value) for name, value in scope["headers"]) + len(scope.get("raw_path") or b"")
        if size > self._limits.header_bytes:
            raise Refusal("headers", f"headers of {size:,} bytes; at most {self._limits.header_bytes:,} are read")
        headers = _headers(scope)
        host = headers.get("host", "")
        if not self._knows(_split_host(host)):
            cure = "open the address that it printed, or start it with --allow-host NAME"
            raise Refusal("wrong_host", f"this server is not called {host!r}; {cure}")
        if scope["method"] in _CHANGING:
            _check_site(headers, host)
        if self._doors.token is None or scope["path"] in _OPEN or scope["path"].startswith("/static/"):
            return
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._doors.token.encode()):
            cure = "send the header 'Authorization: Bearer TOKEN' with the token that the server was started with"
            raise Refusal("no_token", f"{'another token' if given else 'no token'}; {cure}")

    def _knows(self, name: str) -> bool:
        if name in self._doors.hosts:
            return True
        if not self._doors.any_address:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def explain_error(error: Exception) -> Refusal:
    """Return how an error is told to the client."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, UserError):
        return Refusal("cannot", str(error))
    if isinstance(error, FileNotFoundError):
        return Refusal("not_found", "the job's files are gone; send the images again")
    if isinstance(error, OSError) and error.strerror:
        return Refusal("full", f"the server's disk says: {error.strerror}; tell whoever runs the server", 60)
    return Refusal("internal", "a fault of this program, not of the request; the server's log has it")


class _Answer:
    """What is sent back, with the headers that every answer has."""

    def __init__(self, send: Send, path: str) -> None:
        self._send, self._path = send, path
        self.begun, self.status = False, 500

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun, self.status = True, message["status"]
            cache = "no-cache" if self._path == "/" or self._path.startswith("/static/") else "no-store"
            added = {**HEADERS, "Cache-Control": cache}
            message["headers"] = [
                *message.get("headers", ()),
                *((name.lower().encode(), value.encode()) for name, value in added.items()),
            ]
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        headers = [(name.lower().encode(), value.encode()) for name, value in refusal.headers.items()]
        headers.append((b"content-length", str(len(refusal.body)).encode()))
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": refusal.body})


class _Body:
    """A request's body, as long as it keeps to the limits."""

    def __init__(self, scope: Scope, receive: Receive, limits: Limits) -> None:
        headers = _headers(scope)
        form = headers.get("content-type", "").lower().startswith("multipart/")
        self._most = limits.form_bytes if form else limits.json_bytes
        self._what = "form" if form else "body"
        self._receive, self._idle = receive, limits.idle_seconds
        self._ends = time.monotonic() + limits.form_seconds
        self._read, self._over = 0, False
        said = headers.get("content-length", "0")
        if not said.isdecimal():
            raise Refusal("bad_request", f"Content-Length is {said!r}; it is a whole number")
        if int(said) > self._most:
            raise self._too_large(f"{int(said):,}")
        has_body = "content-length" in headers or "transfer-encoding" in headers
        if scope["method"] in ("POST", "PUT", "PATCH") and not has_body:
            raise Refusal("no_length", "neither Content-Length nor Transfer-Encoding; send one of them")

    async def receive(self) -> Message:
        if self._over:  # the application waits for the client to leave
            return await self._receive()
        wait = min(self._idle, self._ends - time.monotonic())
        try:
            message = await asyncio.wait_for(self._receive(), max(0.01, wait))
        except TimeoutError:
            raise Refusal("slow", f"the {self._what} stopped after {self._read:,} bytes; send it again") from None
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            self._over = not message.get("more_body", False)
            if self._read > self._most:
                raise self._too_large(f"more than {self._most:,}")
        return message

    def _too_large(self, got: str) -> Refusal:
        return Refusal("too_large", f"a {self._what} of {got} bytes; at most {self._most:,} are read; send less")


def _check_site(headers: dict[str, str], host: str) -> None:
    """Refuse what another site's page asks of a browser in the user's name."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if (origin is not None and urlsplit(origin).netloc.lower() != host.lower()) or site in ("cross-site", "same-site"):
        raise Refusal("foreign", f"a page of {origin or 'another site'} asks; open this server's own page")


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _split_host(host: str) -> str:
    """Return a host without its port, in small letters.

    >>> _split_host("LOCALHOST:8000"), _split_host("[::1]:8000"), _split_host("127.0.0.1")
    ('localhost', '::1', '127.0.0.1')
    """
    name = host[1 : host.find("]")] if host.startswith("[") and "]" in host else host.partition(":")[0]
    return name.lower().rstrip(".")
