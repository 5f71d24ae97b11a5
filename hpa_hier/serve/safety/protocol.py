"""Protocol: HTTP/1.1 of uvicorn, which gives up on headers that do not come and refuses bad ones in JSON."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from hpa_hier.serve.safety.refusal import Refusal

HEADER_SECONDS = 10  # for the headers of a request to come
CONNECTIONS = 512  # that are open at a time
_RETRY = 5  # seconds


class CarefulProtocol(H11Protocol):
    """A connection whose requests must begin with headers that come soon."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request; one connection too many is told so."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            refusal = Refusal("full", f"{CONNECTIONS} connections are open; try again later", _RETRY)
            self._refuse(refusal)
            return
        self._waiting = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Read on; once headers are whole, the guard watches the body."""
        super().data_received(data)
        unfinished = self.conn.their_state is h11.IDLE
        if not unfinished and self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        elif unfinished and self._waiting is None:
            self._waiting = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        if self._waiting is not None:
            self._waiting.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP request, or has headers that are too long, in one line of JSON."""
        state: Any = self.conn.their_state
        long = state is h11.ERROR and len(self.conn.trailing_data[0]) >= self._longest()
        what = f"the headers have more than {self._longest():,} bytes; send fewer" if long else "no HTTP request"
        self._refuse(Refusal("headers" if long else "bad_request", what))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer before there is a request that the application could answer, and close."""
        named = [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
        named += [(b"content-length", str(len(refusal.body)).encode()), (b"connection", b"close")]
        response = h11.Response(status_code=refusal.status, headers=named)
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        for event in (response, h11.Data(data=refusal.body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _longest(self) -> int:
        return int(self.config.h11_max_incomplete_event_size or 0)

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
