"""Ctrl-C where there are workers: it reaches this process alone, which answers for them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hold_ctrl_c() -> Iterator[None]:
    """Hold back Ctrl-C in this thread, and for good in the threads and processes that it starts meanwhile."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    start_trackers()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_trackers() -> None:
    """Start the processes that tidy up after this one: a start within a block of signals would end it.

    Where Ctrl-C ends a thread in the middle of its tidying, they find and remove what is left, and need not say so.
    """
    from multiprocessing import resource_tracker

    from joblib.externals.loky.backend import resource_tracker as loky_resource_tracker

    options = sys.warnoptions[:]
    sys.warnoptions.append("ignore:resource_tracker")  # a new Python process takes these over
    try:
        for tracker in (resource_tracker, loky_resource_tracker):
            tracker.ensure_running()
    finally:
        sys.warnoptions[:] = options


def end_with(parent: int) -> None:
    """End this process when its parent, of this number, is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
