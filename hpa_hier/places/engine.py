"""Engines: what runs calls, whoever made it, as an executor of the standard library."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, NamedTuple

from hpa_hier.places.call import Call


class Engine(NamedTuple):
    """An engine that is running."""

    workers: int  # calls at a time
    executor: Executor
    here: bool = True  # whether its workers were started for this process, on this machine
    threads: bool = False  # whether they are threads of this process
    call_alone: Callable[[Call], Any] | None = None  # waits; where a dead worker takes the calls of the others with it
