"""Server: listens at an address until it is told to stop, and leaves nothing behind."""

from __future__ import annotations

import errno
import ipaddress
import logging
import re
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from hpa_hier.errors import UserError
from hpa_hier.serve.app import make_app
from hpa_hier.serve.safety.guard import Doors
from hpa_hier.serve.safety.protocol import CarefulProtocol
from hpa_hier.serve.safety.refusal import one_line
from hpa_hier.serve.service import Plan, Service

_GRACE = 2  # seconds for requests that are being answered when it stops
_KEEP_ALIVE = 15  # seconds of a connection without a request
_BACKLOG = 128  # connections that wait to be taken
_SHORTEST = 16  # signs of a token
_TOKEN = re.compile(rf"[A-Za-z0-9._~+/=-]{{{_SHORTEST},}}")  # what the header may hold, and an address


@dataclass(frozen=True)
class Address:
    """Where the server listens, and who may come.

    Attributes:
        host: an address or name of this machine.
        port: 0: one that is free.
        token: that requests must carry; None: none.
        names: further names that requests may be addressed to, as of a proxy.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    names: tuple[str, ...] = ()

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine can come."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def check(self) -> Doors:
        """Return who is let in.

        Raises:
            UserError: others can come and there is no token, or it is too short.
        """
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise UserError(
                f"--token: {len(self.token)} signs; a token is {_SHORTEST} letters and digits or more, as "
                "python -c 'import secrets; print(secrets.token_urlsafe())' prints"
            )
        if self.token is None and not self.is_loopback:
            raise UserError(
                f"--host {self.host}: others can come there, so a token is needed: --token-file FILE, with what "
                "python -c 'import secrets; print(secrets.token_urlsafe())' prints in it"
            )
        own = {"127.0.0.1", "localhost", "::1", self.host.lower(), *(name.lower() for name in self.names)}
        if not self.is_loopback:
            own |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        return Doors(frozenset(own), not self.is_loopback, self.token)

    def bind(self) -> socket.socket:
        """Return a socket that listens there.

        Raises:
            UserError: the port is taken, or the address is none of this machine's.
        """
        try:
            family, kind, _, _, where = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0]
            found = socket.socket(family, kind)
        except (OSError, UnicodeError) as error:
            raise UserError(f"--host {self.host}: no address of this machine ({error}); 127.0.0.1 is one") from None
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind(where)
            found.listen(_BACKLOG)
        except OSError as error:
            found.close()
            told = {
                errno.EADDRINUSE: "is in use already; name another with --port, or 0 for one that is free",
                errno.EACCES: "may not be taken by this user; name one from 1024",
            }
            if error.errno in told:
                raise UserError(f"--port {self.port}: {told[error.errno]}") from None
            raise UserError(f"--host {self.host}: cannot be listened at ({error.strerror}); 127.0.0.1 can") from None
        return found

    def describe(self, port: int, secret: bool) -> str:
        """Return the address for a browser; with the token, as the page takes it, where it may be shown."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{port}/" + (f"#token={self.token}" if self.token and secret else "")


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


def serve(plan: Plan, address: Address, told: Callable[[str], None] = print) -> bool:
    """Answer requests until Ctrl-C.

    Args:
        plan: which ensembles, which folders, which limits.
        address: where, and for whom.
        told: prints a line, the address first of all.

    Returns:
        Whether every thread has ended; one that is importing a library or computing cannot be stopped.

    Raises:
        UserError: the address cannot be had, or there is no ensemble.
    """
    doors, listening = address.check(), address.bind()
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a client that leaves ends its request, and not the server
    port = int(listening.getsockname()[1])
    try:
        service = Service(plan)
    except BaseException:
        listening.close()
        raise
    _set_up_log()
    config = configure(service, doors)
    ended = True
    server = _Server(config, lambda: told(f"listening at {address.describe(port, _is_shown())}; Ctrl-C stops it"))
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:  # uvicorn raises it once more when all is closed
        pass
    finally:
        ended = service.stop()
        listening.close()
    return ended


def configure(service: Service, doors: Doors) -> uvicorn.Config:
    """Return how uvicorn serves a service."""
    return uvicorn.Config(
        make_app(service, doors),
        http=CarefulProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,  # names and paths of others in it would need care; /metrics counts
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_GRACE,
        h11_max_incomplete_event_size=service.limits.header_bytes,
    )


def read_token(text: str | None, file: Path | None) -> str | None:
    """Return the token that the user gave, as it is or in a file's first line; None: none.

    Raises:
        UserError: both are given, or the file cannot be read.
    """
    if text is not None and file is not None:
        raise UserError("--token and --token-file: give one of the two")
    if file is None:
        return text
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--token-file {file}: cannot be read ({error}); name a file with the token in it") from None
    return lines[0].strip() if lines else ""


class _Plain(logging.Formatter):
    """Writes what others sent without signs that a terminal obeys, in tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as text."""
        lines = super().format(record).split("\n")
        return "\n".join(line[: len(line) - len(line.lstrip(" "))] + one_line(line) for line in lines)


def _is_shown() -> bool:
    """Whether what is printed is seen by the user alone, and not kept in a log."""
    return sys.stdout.isatty()


def _set_up_log() -> None:
    """Let warnings and errors of the server come out on standard error, one line each but for a fault's traceback."""
    handler: Any = logging.StreamHandler()
    handler.setFormatter(_Plain("%(asctime)s %(levelname)s %(message)s"))
    for name, level in (("hpa_hier.serve", logging.WARNING), ("uvicorn.error", logging.ERROR)):
        log = logging.getLogger(name)
        log.handlers, log.propagate = [handler], False
        log.setLevel(level)
