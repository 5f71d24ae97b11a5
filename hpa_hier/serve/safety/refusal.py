"""Refusal: a request that is not answered as it asks, as one line of JSON."""

from __future__ import annotations

import json
import unicodedata
from typing import Final

CODES: Final = {  # what is wrong → the status
    "bad_request": 400,
    "no_token": 401,
    "foreign": 403,  # another site's page asks
    "not_found": 404,
    "method": 405,
    "slow": 408,  # the body does not come
    "conflict": 409,
    "cannot_explain": 409,
    "no_length": 411,
    "too_large": 413,
    "unsupported": 415,
    "wrong_host": 421,
    "cannot": 422,  # understood, and still cannot be done
    "busy": 429,  # too much of this client's
    "headers": 431,
    "internal": 500,
    "full": 503,  # too much of everybody's
}


class Refusal(Exception):  # noqa: N818  (what the server says, not what fails in it)
    """A request that is refused: what is wrong, what was got, what to do."""

    def __init__(self, code: str, reason: str, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.code, self.status, self.reason, self.retry_after = code, CODES[code], one_line(reason), retry_after

    @property
    def body(self) -> bytes:
        """The answer: one line of JSON."""
        said = {"error": self.reason, "code": self.code, "status": self.status}
        return json.dumps(said, ensure_ascii=False).encode() + b"\n"

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer, beside those of every answer."""
        found = {"Content-Type": "application/json"}
        if self.retry_after is not None:
            found["Retry-After"] = str(self.retry_after)
        if self.code == "no_token":
            found["WWW-Authenticate"] = "Bearer"
        return found


def one_line(text: str, longest: int = 1000) -> str:
    r"""Return text of others as one line without control characters, for an answer or a log.

    >>> one_line("a\r\nb\x1b[31m")
    'a b [31m'
    """
    plain = "".join(" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in text[: 4 * longest])
    line = " ".join(plain.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
