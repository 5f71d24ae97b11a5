"""Fetched: files of a bucket or web server, read by their format's own reader from a copy that is gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hpa_hier.data.images.reader import MAX_BYTES, Layout, Reader, UnreadableImage, check_bytes
from hpa_hier.data.images.stacks import Stack, StackRules, reads_stacks
from hpa_hier.files.remote.path import RemotePath, local_copy

_HEAD = 1 << 16  # bytes that hold the header of a picture
NOT_FETCHED = "is read from this machine alone; copy it here"


class FetchedReader:
    """A reader of remote files."""

    def __init__(self, reader: Reader, *, by_head: bool) -> None:
        """Read by `reader`; `by_head`: its layout is in the first bytes of a file."""
        self._reader, self._by_head = reader, by_head

    def layout(self, path: Path) -> Layout:
        """Return how a file's planes lie: of a picture by its first bytes, else by all of it."""
        if self._by_head and isinstance(path, RemotePath):
            with _told(path), TemporaryDirectory(prefix="hpa-hier-") as folder:
                head = Path(folder) / path.name
                head.write_bytes(path.read_start(_HEAD))
                return self._reader.layout(head)
        with self._fetch(path) as copy:
            return self._reader.layout(copy)

    def read(self, path: Path) -> np.ndarray:
        """Decode a file to (P, H, W)."""
        with self._fetch(path) as copy:
            return self._reader.read(copy)

    def read_stack(self, path: Path, rules: StackRules) -> Stack:
        """Decode a file to one image by the rules."""
        with self._fetch(path) as copy:
            reader = self._reader
            return reader.read_stack(copy, rules) if reads_stacks(reader) else Stack(reader.read(copy))

    @contextmanager
    def _fetch(self, path: Path) -> Iterator[Path]:
        with _told(path):
            check_bytes(path)
            with local_copy(path, MAX_BYTES) as copy:
                yield copy


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Have errors name the address, not the copy."""
    try:
        yield
    except UnreadableImage as error:
        raise UnreadableImage(path, error.reason) from None
    except (FileNotFoundError, NotADirectoryError):
        raise UnreadableImage(path, "is not there") from None
