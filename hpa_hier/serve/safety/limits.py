"""Limits: how much one client, and all together, may ask of the server; each can be set when it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean

_SIZES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}  # behind a number of bytes


def _limit(default: int, text: str) -> Any:  # noqa: ANN401 - a field of a data class
    from dataclasses import field

    return field(default=default, metadata={"text": text})


@dataclass(frozen=True)
class Limits:
    """What is refused beyond; whole numbers, all at least 1."""

    files: int = _limit(1000, "files of one form")
    file_bytes: int = _limit(256 << 20, "bytes of one file")
    form_bytes: int = _limit(512 << 20, "bytes of one form")
    job_files: int = _limit(10_000, "files of one job")
    job_bytes: int = _limit(4 << 30, "bytes of one job's uploads")
    job_images: int = _limit(5000, "images of one job")
    json_bytes: int = _limit(1 << 20, "bytes of a request in JSON")
    header_bytes: int = _limit(64 << 10, "bytes of a request's headers")
    seconds_per_image: int = _limit(30, "seconds to decode one image")
    seconds_to_list: int = _limit(300, "seconds to find the images of a job")
    form_seconds: int = _limit(600, "seconds for one form to arrive")
    idle_seconds: int = _limit(20, "seconds between two pieces of a request")
    decode_bytes: int = _limit(4 << 30, "bytes of memory for decoding")
    clients_jobs: int = _limit(64, "unfinished jobs of one client")
    jobs: int = _limit(128, "unfinished jobs of all clients")
    kept_jobs: int = _limit(200, "finished jobs that are kept; the one asked for least lately goes first")
    queue: int = _limit(256, "images that wait for the model")
    expires_seconds: int = _limit(3600, "seconds after which a job that nobody asks for goes")

    @classmethod
    def parse(cls, changes: Sequence[str]) -> Limits:
        """Return the limits with changes such as ``files=200`` or ``file_bytes=1g``.

        Raises:
            UserError: there is no such limit, or the value is no whole number of at least 1.

        >>> Limits.parse(["files=200", "file_bytes=1g"]).file_bytes
        1073741824
        """
        names, found = [one.name for one in fields(cls)], {}
        for change in changes:
            name, equals, text = change.partition("=")
            name, text = name.strip(), text.strip().lower()
            if not equals or name not in names:
                near = did_you_mean(name, names) or f"; the limits are {', '.join(names)}"
                raise UserError(f"--limit {change}: no limit is called '{name}'{near}")
            factor = _SIZES.get(text[-1:], 1) if name.endswith("_bytes") else 1
            number = text[:-1] if factor > 1 else text
            if not number.isdecimal() or int(number) < 1:
                raise UserError(f"--limit {change}: must be a whole number from 1, got {text!r}")
            found[name] = int(number) * factor
        return replace(cls(), **found)

    @classmethod
    def describe(cls) -> str:
        """List the limits with their defaults, a line each.

        >>> Limits.describe().splitlines()[0]
        'files=1000              files of one form'
        """
        return "\n".join(f"{f'{one.name}={one.default}':24}{one.metadata['text']}" for one in fields(cls))

    def to_json(self) -> dict[str, int]:
        """Return all limits by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}
