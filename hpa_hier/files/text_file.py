"""Text files that people write: UTF-8, or UTF-16 that says so, also as .gz, of a size that can be meant."""

from __future__ import annotations

import codecs
import gzip
import zlib
from pathlib import Path

from hpa_hier.errors import UserError

_SMALL = 16 << 20  # bytes, which any .gz may unpack to
_MOST_PACKED = 32  # bytes that a byte of a larger one unpacks to; tables of labels give some twenty


def is_gzip(path: Path) -> bool:
    """Tell whether a file's name says that it is compressed.

    >>> is_gzip(Path("labels.csv.gz"))
    True
    """
    return path.suffix.lower() == ".gz"


def read_text(path: Path, kind: str, max_bytes: int) -> str:
    """Read a text file of a `kind` such as YAML, with or without a byte order mark; UTF-16 needs one.

    A file called .gz is decompressed.

    Raises:
        UserError: the file is absent, a folder, unreadable, too large or not UTF-8.
    """
    try:
        if path.is_dir():
            raise UserError(f"{path}: this is a folder; name a {kind} file")
        size = path.stat().st_size
        if not path.is_file() and not path.is_relative_to("/dev"):  # as <(zcat labels.csv.gz) is
            raise UserError(f"{path}: is no regular file; name a {kind} file")
        packed = is_gzip(path)
        most = min(max_bytes, _SMALL + _MOST_PACKED * size) if packed else max_bytes
        with gzip.open(path) if packed else path.open("rb") as handle:
            content = handle.read(size + 1) if size <= most else b""  # room for all of `most` would be taken at once
            if len(content) > size:  # it was packed, is a pipe, or has grown
                content += handle.read(most + 1 - len(content))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such file; check the path") from None
    except (OSError, EOFError, zlib.error, ValueError) as error:  # ValueError: a NUL in the path
        raise UserError(f"{str(path)!r}: cannot be read ({error})") from None
    size = max(size, len(content))  # it may have grown since
    if size > most:
        problem = f"{size:,} bytes, more than the {most:,} that such a file may have; is it the right file?"
        raise UserError(f"{path}: {problem}")
    if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):  # what Excel calls Unicode text
        try:
            return content.decode("utf-16")
        except UnicodeDecodeError:
            raise UserError(f"{path}: begins as UTF-16 text and goes on otherwise; save the file as UTF-8") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = f"byte 0x{content[error.start]:02x} is not UTF-8 text"
        raise UserError(f"{path}:{line}: {byte}; save the file as UTF-8") from None
