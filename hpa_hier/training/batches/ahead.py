"""Looking ahead: the next batch is made while the network learns from this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Made = TypeVar("_Made")


def look_ahead(make: Callable[[int], _Made], indices: range) -> Iterator[_Made]:
    """Yield what is made of each index, in order; while the caller works with one, a thread makes the next.

    Never more than one is made ahead, and only one at a time, so that `make` may use two sets of buffers in turn.

    >>> list(look_ahead(lambda index: index**2, range(2, 5)))
    [4, 9, 16]
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        future: Future[_Made] | None = None
        for index in indices:
            made = (future or pool.submit(make, index)).result()
            future = pool.submit(make, index + 1) if index + 1 in indices else None
            yield made
