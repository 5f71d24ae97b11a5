"""Recent: the last few things that were computed, for the pictures that are asked for next."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Any

_KEPT = 16


class Recent:
    """The last few things that were computed."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = Lock()

    def get(self, name: Hashable) -> Any:  # noqa: ANN401 - whatever was put
        """Return what was put by this name; None: nothing, or no longer."""
        with self._lock:
            return self._kept.get(name)

    def put(self, name: Hashable, found: object) -> None:
        """Keep something, and let the oldest go."""
        with self._lock:
            self._kept[name] = found
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
