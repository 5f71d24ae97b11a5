"""Protocol: HTTP/1.1 of uvicorn, which gives up on headers that do not come and refuses bad ones in JSON."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from hpa_hier.serve.safety.refusal import Refusal

HEADER_SECONDS = 10  # for the headers of a request to come


class CarefulProtocol(H11Protocol):
    """A connection whose first request must come soon."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._waiting = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def handle_events(self) -> None:
        """Go on reading; once headers are whole, the guard watches the body."""
        super().handle_events()
        if self.cycle is not None and self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

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
        refusal = Refusal("headers" if long else "bad_request", what)
        named = [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
        response = h11.Response(status_code=refusal.status, headers=[*named, (b"connection", b"close")])
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        for event in (response, h11.Data(data=refusal.body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _longest(self) -> int:
        return int(self.config.h11_max_incomplete_event_size or 0)

    def _give_up(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()
