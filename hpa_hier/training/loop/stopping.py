"""Ctrl-C and its kin: a wish to stop that training honours after the step it is in."""

from __future__ import annotations

import os
import signal
import sys
import threading
from multiprocessing import parent_process
from multiprocessing.connection import wait
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818 - it is no error: all is saved
    """Training was asked to stop, and has saved all that it needs to go on."""


class StopWish:
    """Notes the first SIGINT or SIGTERM; a second one ends the process at once, as if nobody listened.

    Used as a context around a training; the old handlers come back at its end.
    """

    def __init__(self) -> None:
        self.made = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopWish:
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
        """Take the signals, also from a library that has taken them since."""
        if self._before and not self.made:
            for number in _SIGNALS:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.made = True
        for listened in _SIGNALS:
            signal.signal(listened, signal.SIG_DFL)
        # Not print: a signal may come in the middle of another print.
        os.write(sys.stderr.fileno(), b"\nstopping after this step, and saving; once more leaves at once\n")


def stop_with_parent() -> None:
    """Wish to stop when the process that started this one is gone, so that no training runs on unseen."""
    parent = parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
