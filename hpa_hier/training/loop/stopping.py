"""Ctrl-C and SIGTERM: a request to stop, which is honoured when it suits the training."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.connection import wait
from types import FrameType

from hpa_hier.places.child import EXIT_INTERRUPTED
from hpa_hier.places.signals import ask_to_end, wake_with_parent

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818 - no error: everything is saved
    """Training was asked to stop, and has saved all that it needs to resume."""


class SignalCounter:
    """Counts SIGINT and SIGTERM instead of being ended by them; a context that restores the handlers of before.

    Does nothing outside of the main thread, where Python handles no signals.

    Args:
        message: printed at the first signal; "": none is.
        most: signals that are counted; one more ends the process at once, also where a library holds the main thread,
            which then hears none. 0: as many as there are.

    Attributes:
        count: signals so far.
    """

    def __init__(self, message: str, most: int = 0) -> None:
        self.count = 0
        self._at_signal: Callable[[], None] | None = None
        self._message, self._most = message, most
        self._before: dict[int, object] = {}
        self._heard, self._told_before = -1, -1  # descriptors that Python writes the number of each signal to

    @property
    def requested(self) -> bool:
        """Whether a stop was asked for."""
        return self.count > 0

    def __enter__(self) -> SignalCounter:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in _SIGNALS}
            self.listen()
            if self._most and sys.platform != "win32":
                pipe, self._heard = os.pipe()
                os.set_blocking(self._heard, False)
                self._told_before = signal.set_wakeup_fd(self._heard, warn_on_full_buffer=False)
                threading.Thread(target=_end_at, args=(self._most + 1, pipe), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        if self._heard >= 0:
            signal.set_wakeup_fd(self._told_before)
            os.close(self._heard)
            self._heard = -1

    @contextmanager
    def doing(self, action: Callable[[], None]) -> Iterator[None]:
        """Also do something at each signal meanwhile, such as ending what the main thread waits for."""
        self._at_signal = action
        try:
            yield
        finally:
            self._at_signal = None

    def listen(self) -> None:
        """Install the handlers, also over those that a library has installed since; not in other threads."""
        main = threading.current_thread() is threading.main_thread()
        if main and self._before and not self.requested:
            for number in _SIGNALS:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count == self._most:
            for counted in _SIGNALS:
                signal.signal(counted, signal.SIG_DFL)
        if self.count == 1 and self._message:  # not print: a signal may come in the middle of another print
            os.write(sys.stderr.fileno(), f"\n{self._message}\n".encode())
        if self._at_signal:
            self._at_signal()


def _end_at(last: int, pipe: int) -> None:
    """End this process at so many signals, each a byte of a pipe, until that is closed."""
    count = 0
    with os.fdopen(pipe, "rb", buffering=0) as numbers:
        while number := numbers.read(1):
            count += number[0] in _SIGNALS
            if count == last:
                os._exit(EXIT_INTERRUPTED)


def stop_with_parent() -> None:
    """Send this process a SIGTERM when its parent is gone, so that no orphaned training runs on."""
    wake_with_parent()
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
            ask_to_end()

    threading.Thread(target=watch, daemon=True).start()
