"""Calls: a function of an item as it travels to a worker, and what comes back."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hpa_hier import __version__
from hpa_hier.errors import UserError
from hpa_hier.places.signals import wake_with_parent


class WorkerLost(Exception):  # noqa: N818 - no error of the function: it may succeed on another worker
    """What a function was doing has ended with its process or its machine; it may be called again."""


@dataclass(frozen=True)
class Ground:
    """What a worker must have in common with the process that asks it.

    Attributes:
        folder: where relative paths start; it must be there on the worker.
        version: of this package.
        moves: whether the worker is another process, which changes into `folder`.
    """

    folder: str
    version: str
    moves: bool

    @classmethod
    def here(cls, *, moves: bool) -> Ground:
        """Return this process's own."""
        return cls(str(Path.cwd()), __version__, moves)


@dataclass(frozen=True)
class Answer:
    """What a function returned, what it raised, or why it may succeed elsewhere."""

    value: Any = None
    error: Exception | None = None
    lost: str = ""


@dataclass(frozen=True)
class Call:
    """A top-level function of an item. What it raises comes back as a value: what an engine raises is the engine's."""

    function: Callable[[Any], Any]
    item: Any
    ground: Ground

    def __call__(self) -> Answer:
        """Call the function."""
        try:
            _prepare(self.ground)
            if self.ground.moves and str(Path.cwd()) != self.ground.folder:
                os.chdir(self.ground.folder)
            return Answer(self.function(self.item))
        except WorkerLost as error:
            return Answer(lost=str(error))
        except Exception as error:
            return Answer(error=error)


@cache
def _prepare(ground: Ground) -> None:
    """Refuse to work with another version of the package, or where the folder is not seen; once in a process."""
    if ground.moves:
        wake_with_parent()
    host = socket.gethostname()
    if ground.version != __version__:
        raise UserError(
            f"worker on {host}: has hpa_hier {__version__}, and this process {ground.version}; install the same "
            "version in the Python of the workers, and start them again"
        )
    if not Path(ground.folder).is_dir():
        raise UserError(
            f"worker on {host}: does not see the folder {ground.folder}; start this in a folder that all machines share"
        )


def settle(outer: Future[Any], answer: Answer, name: str) -> None:
    """Give a future what a call came back with; an error of the function says for which item it was raised."""
    if not outer.set_running_or_notify_cancel():
        return
    if answer.error is None:
        outer.set_result(answer.value)
        return
    if name and not isinstance(answer.error, UserError):
        answer.error.add_note(f"raised for {name}")
    outer.set_exception(answer.error)
