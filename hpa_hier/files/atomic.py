"""Files that are whole or absent: written to a temporary name, synced, renamed."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError

from hpa_hier.errors import UserError
from hpa_hier.files.faults.leftovers import name_temporary, sweep
from hpa_hier.files.faults.together import find_stage, sync_folder, synced

CHECKSUM = "checksum"  # the last key of every JSON file of this package: of all the others
_MOST_BYTES = 1 << 30  # of a JSON file
_Model = TypeVar("_Model", bound=BaseModel)


@contextmanager
def without_sync() -> Iterator[None]:
    """Write files without waiting for the disk, for a folder that does not outlive the process anyway.

    They are still whole or absent for whoever reads them, but may not be after a power failure.
    """
    token = synced.set(False)
    try:
        yield
    finally:
        synced.reset(token)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; on success sync it and rename it over `path`.

    On any exception the temporary file is removed and `path` is left as it was. The temporary name keeps the
    suffix of `path`, because some writers choose the format by it. Within `together` it waits for the other files.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, stage = name_temporary(path), None
    try:
        yield temporary
        if synced.get():
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
        if (stage := find_stage(path)) is not None:
            stage.take(path, temporary)
            return
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        if error.filename is None or str(error.filename) == str(temporary):  # a failed write names no file
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        if stage is None:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_with(path: Path, writer: Callable[[BinaryIO], object]) -> None:
    """Let `writer` fill an open binary file that becomes `path`, whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as handle:
        writer(handle)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text with Unix line ends, whole or not at all."""
    write_bytes(path, content.encode("utf-8"))


def write_new(path: Path, content: str) -> None:
    """Write UTF-8 text to a file that is not there yet; one that holds this very text is left as it is.

    Raises:
        UserError: there is another file or folder.
    """
    kept = path.exists()
    if kept and not (path.is_file() and path.read_bytes() == content.encode("utf-8")):
        raise UserError(f"{path}: is there already, and is not overwritten; name another file with --out")
    if not kept:
        write_text(path, content)
    sweep(path.parent, path.stem)  # of a killed process that wrote the same


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON; NaN and infinity are refused, for no other reader takes them.

    An object gets a checksum of its own content as its last key, which `read_json` looks at and takes off.
    """
    if isinstance(value, dict):
        plain = json.loads(json.dumps(value, ensure_ascii=False, allow_nan=False))  # as it will be read
        value = {**plain, CHECKSUM: _checksum(plain)}
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        UserError: the file is absent, is no file, is not JSON, holds something else than an object, is nested too
            deeply, has a number that is not finite, or was changed since this package wrote it; files of older versions
            have no checksum.
    """
    again = "remove it and run the step that writes it again"
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise UserError(f"{path}: is no regular file; remove it and run the step that writes it again")
        if facts.st_size > _MOST_BYTES:
            raise UserError(f"{path}: {facts.st_size:,} bytes, which no such file has; {again}")
        content = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()  # nor halves of characters; never written
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except RecursionError:
        raise UserError(f"{path}: is nested too deeply for a file of this package; {again}") from None
    except ValueError as error:  # of JSON, of UTF-8, of numbers with thousands of digits
        raise UserError(f"{path}: not a JSON file ({error}); {again}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds {_describe_kind(content)}, where an object belongs; {again}")
    return _take_checksum_off(path, content, again)


def _take_checksum_off(path: Path, content: dict[str, Any], again: str) -> dict[str, Any]:
    """Return the content without its checksum, which must fit; a key that only looks like it is damaged."""
    if CHECKSUM in content:
        kept = content.pop(CHECKSUM)
        if kept != _checksum(content):
            raise UserError(f"{path}: was changed after it was written (its checksum does not match); {again}")
    elif near := difflib.get_close_matches(CHECKSUM, content, 1):
        raise UserError(f"{path}: was changed after it was written ({near[0]!a} for {CHECKSUM!r}); {again}")
    return content


def _checksum(content: dict[str, Any]) -> str:
    """Return the SHA-256 of an object's content, however it is laid out in a file."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _describe_kind(value: object) -> str:
    kinds = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def read_model(path: Path, model: type[_Model], cure: str) -> _Model:
    """Read a JSON file as what a program of this package wrote.

    Raises:
        UserError: the file is absent, not JSON or holds something else; the message ends in `cure`.
    """
    try:
        return model.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(f"{path}: is damaged ({describe_invalid(error)}); {cure}") from None


def describe_invalid(error: ValidationError) -> str:
    """Return where the first mistake that pydantic found is, and what it is."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}"


def refuse_foreign(path: Path, first: str) -> None:
    """Refuse to replace a file that this program did not write; its own begin with `first`.

    Raises:
        UserError: the file exists and begins otherwise.
    """
    if path.is_dir():
        raise UserError(f"{path}: a folder is in the way of a file; move it, or name another place")
    if path.exists():
        with path.open("rb") as handle:
            if handle.read(len(first.encode())) != first.encode():
                cure = "name another file, or move this one"
                raise UserError(f"{path}: exists and was not written by this command; {cure}")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hex digits.

    Raises:
        UserError: it is a pipe or a device, whose end may never come.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: is no regular file; put a file in its place")
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def text_digest(*parts: str, more: Iterable[str] = ()) -> str:
    """Return 16 hex digits of text parts, and of very many more behind them, each kept apart from the next.

    >>> text_digest("ab", "c") == text_digest("a", "bc")
    False
    >>> text_digest("leaf")
    '52baff9b2464fbef'
    """
    digest = hashlib.sha256()
    for part in chain(parts, more):
        digest.update(part.encode("utf-8") + b"\0")
    return digest.hexdigest()[:16]
