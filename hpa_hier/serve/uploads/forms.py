"""Forms: multipart bodies, received piece by piece into a folder; nothing is kept of one that breaks a limit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from hpa_hier.serve.safety.limits import Limits
from hpa_hier.serve.safety.refusal import Refusal, one_line
from hpa_hier.serve.uploads.names import Misnamed, find_place

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_FIELDS, _FIELD_BYTES = 16, 4096  # fields of text, and bytes of one


@dataclass
class Uploads:
    """What was received of a job so far."""

    folder: Path
    shown: dict[str, str] = field(default_factory=dict)  # place in small letters → the name as it was sent
    rejected: list[tuple[str, str]] = field(default_factory=list)  # name, and why it is not kept
    aside: list[str] = field(default_factory=list)  # no images
    files: int = 0  # that were sent, whatever became of them
    bytes: int = 0  # that are kept


@dataclass
class _Part:
    """The part of a form that is being received."""

    name: str
    shown: str | None  # None: a field of text
    file: BinaryIO | None = None  # None: what is not kept
    path: Path | None = None
    text: bytearray = field(default_factory=bytearray)
    size: int = 0


async def receive_form(
    content_type: str, pieces: AsyncIterator[bytes], uploads: Uploads, limits: Limits
) -> dict[str, str]:
    """Receive a form's files into the folder of `uploads`, and return its fields of text.

    Raises:
        Refusal: it is no form, it is damaged, or breaks a limit; the files that it brought are removed.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 200:
        raise Refusal("unsupported", f"a body of type {content_type[:60]!r}; send files as multipart/form-data")
    form = _Form(uploads, limits)
    parser = MultipartParser(boundary, form.callbacks)
    try:
        async for piece in pieces:
            parser.write(piece)
        parser.finalize()
        if not form.ended:
            raise Refusal("bad_request", "the form ends too early; send it again")
    except FormParserError as error:
        form.remove()
        raise Refusal("bad_request", f"no whole form: {error}; send it again") from None
    except BaseException:
        form.remove()
        raise
    form.keep()
    return form.fields


class _Form:
    """A form while it is received; what it brings counts once it is whole."""

    def __init__(self, uploads: Uploads, limits: Limits) -> None:
        self._before, self._limits = uploads, limits
        self._found = Uploads(uploads.folder, files=uploads.files, bytes=uploads.bytes)
        self._written: list[Path] = []
        self._part: _Part | None = None
        self._parts, self._header, self._value = 0, bytearray(), bytearray()
        self._headers: dict[str, str] = {}
        self.fields: dict[str, str] = {}
        self.ended = False

    @property
    def callbacks(self) -> MultipartCallbacks:
        """What the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._open,
            "on_part_data": lambda data, start, end: self._add(data[start:end]),
            "on_part_end": self._close,
            "on_end": self._end,
        }

    def keep(self) -> None:
        """Let the form's files count."""
        found, kept = self._found, self._before
        kept.shown |= found.shown
        kept.rejected += found.rejected
        kept.aside += found.aside
        kept.files, kept.bytes = found.files, found.bytes

    def remove(self) -> None:
        """Remove what the form brought."""
        if self._part and self._part.file:
            self._part.file.close()
        for path in self._written:
            path.unlink(missing_ok=True)

    def _begin(self) -> None:
        self._headers, self._header, self._value = {}, bytearray(), bytearray()
        self._parts += 1
        if self._parts > self._limits.files + _FIELDS:
            most = f"more than {self._limits.files:,} files in one form"
            raise Refusal("too_large", f"{most}; send them in several, or name a folder of the server's")

    def _end_header(self) -> None:
        self._headers[self._header.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._header, self._value = bytearray(), bytearray()

    def _open(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", ""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" not in options:
            if len(self.fields) >= _FIELDS:
                raise Refusal("too_large", f"more than {_FIELDS} fields of text in one form")
            self._part = _Part(name, None)
            return
        shown = one_line(options[b"filename"].decode("utf-8", "replace"))
        self._part = _Part(name, shown)
        self._found.files += 1
        new = self._found.files - self._before.files
        for count, most, of in ((new, self._limits.files, "form"), (self._found.files, self._limits.job_files, "job")):
            if count > most:
                raise Refusal("too_large", f"more than {most:,} files in one {of}; send fewer, or make another {of}")
        try:
            place = find_place(shown)
        except Misnamed as error:
            self._found.rejected.append((shown, str(error)))
            return
        if place is None:
            self._found.aside.append(shown)
            return
        key = "/".join(place).casefold()
        other = self._before.shown.get(key) or self._found.shown.get(key)
        if other:
            cure = "send the folders that hold them, so that these tell them apart, or rename one"
            self._found.rejected.append((shown, f"would be the same file as {other}; {cure}"))
            return
        path = self._before.folder.joinpath(*place)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._part.file = path.open("xb")
        except (FileExistsError, NotADirectoryError):
            self._found.rejected.append((shown, "a file and a folder of one name; rename one"))
            return
        self._part.path = path
        self._written.append(path)
        self._found.shown[key] = shown

    def _add(self, data: bytes) -> None:
        part = self._part
        if part is None:
            return
        part.size += len(data)
        if part.shown is None:
            part.text += data
            if part.size > _FIELD_BYTES:
                raise Refusal("too_large", f"a field of more than {_FIELD_BYTES:,} bytes; files need a file name")
            return
        if part.size > self._limits.file_bytes:
            raise Refusal("too_large", f"{part.shown}: more than {self._limits.file_bytes:,} bytes in one file")
        if part.file is not None:
            self._found.bytes += len(data)
            if self._found.bytes > self._limits.job_bytes:
                most = f"more than {self._limits.job_bytes:,} bytes in one job"
                raise Refusal("too_large", f"{most}; make another, or name a folder of the server's")
            part.file.write(data)

    def _close(self) -> None:
        part, self._part = self._part, None
        if part is None:
            return
        if part.shown is None:
            self.fields[part.name] = part.text.decode("utf-8", "replace").strip()
        if part.file is not None:
            part.file.close()

    def _end(self) -> None:
        self.ended = True
