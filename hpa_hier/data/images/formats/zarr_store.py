"""Zarr stores, read within themselves: no link leads out of one, and no file is waited for or larger than it says."""

from __future__ import annotations

import os
import stat
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpa_hier.data.images.reader import UnreadableImage

if TYPE_CHECKING:
    from zarr.storage import LocalStore

LARGEST_METADATA = 16 << 20  # bytes; a plate of 1,536 wells has a tenth of one million


def check_file(store: Path, key: str, most: int | None = LARGEST_METADATA) -> None:
    """Refuse what is no regular file inside of a store; what is absent, or a folder, is left to the reader.

    Args:
        store: the folder.
        key: a file's path in it.
        most: bytes that it may have; None: any number.

    Raises:
        UnreadableImage: it is a pipe or the like, a link that leads out of the store, or larger.
    """
    try:
        facts = (store / key).stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UnreadableImage(store, f"{key} cannot be looked at ({error.strerror})") from None
    check_inside(store, key)
    if stat.S_ISDIR(facts.st_mode):
        return
    if not stat.S_ISREG(facts.st_mode):
        raise UnreadableImage(store, f"{key} is no regular file")
    if most is not None and facts.st_size > most:
        raise UnreadableImage(store, f"damaged: {key} has {facts.st_size:,} bytes; at most {most:,} are meant")


def check_inside(store: Path, key: str) -> None:
    """Refuse a link that leads out of a store.

    Raises:
        UnreadableImage: there is one on the way to the key.
    """
    target = Path(os.path.realpath(store / key))
    if not target.is_relative_to(_resolve(store)):
        raise UnreadableImage(store, f"{key} is a link that leaves the store, to {target}; put a copy in its place")


@cache
def _resolve(store: Path) -> str:
    return os.path.realpath(store)


def open_store(path: Path) -> Any:  # noqa: ANN401 - a LocalStore with one attribute more
    """Open a folder as zarr's store; its attribute `most` is how many bytes a whole file of it may have."""
    return _store_class()(path, read_only=True)


@cache
def _store_class() -> type[LocalStore]:
    from zarr.storage import LocalStore

    class InsideStore(LocalStore):
        most: int | None = LARGEST_METADATA

        async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:  # noqa: ANN401
            check_file(self.root, key, self.most if byte_range is None else None)
            return await super().get(key, prototype, byte_range)

    return InsideStore


def count_bytes(path: Path, enough: int) -> int:
    """Return the bytes of the files below a folder; no more of them are looked at than `enough` needs."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            if total >= enough:
                return total
            total += Path(folder, name).lstat().st_size
    return total
