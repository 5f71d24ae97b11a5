"""Ctrl-C and SIGTERM: a request to stop, which training honours after the current step."""

from __future__ import annotations

import os
import signal
import sys
import threading
from multiprocessing import parent_process
from multiprocessing.connection import wait
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818 - no error: everything is saved
    """Training was asked to stop, and has saved all that it needs to resume."""


class StopRequest:
    """Notes the first SIGINT or SIGTERM; a second one ends the process at once.

    A context manager around a training; it restores the previous handlers at the end.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in _SIGNALS}
            self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def listen(self) -> None:
        """Install the handlers, also over those that a library has installed since."""
        if self._before and not self.requested:
            for number in _SIGNALS:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        for listened in _SIGNALS:
            signal.signal(listened, signal.SIG_DFL)
        # Not print: a signal may come in the middle of another print.
        os.write(sys.stderr.fileno(), b"\nstopping after this step, and saving; once more leaves at once\n")


def stop_with_parent() -> None:
    """Request a stop when the parent process is gone, so that no orphaned training runs on."""
    parent = parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
