"""Ctrl-C where there are workers: it reaches this process alone, which answers for them; and ends where it is gone."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl


@contextmanager
def hold_ctrl_c() -> Iterator[None]:
    """Hold back Ctrl-C in this thread, and for good in the threads and processes that it starts meanwhile."""
    if hasattr(signal, "pthread_sigmask"):
        start_trackers()
    with block_ctrl_c():
        yield


@contextmanager
def block_ctrl_c() -> Iterator[None]:
    """Hold back Ctrl-C as `hold_ctrl_c` does, where what tidies up after this process is not started meanwhile."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
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
    wake_with_parent()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def ask_to_end() -> None:
    """Send this process a SIGTERM, from any thread, to the one that handles it.

    To the process as a whole it may reach the thread that sends it, where the main one was stopped a moment before, and
    then a wait of the main thread goes on until it ends by itself.
    """
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    else:
        os.kill(os.getpid(), signal.SIGTERM)


def wake(process: int) -> None:
    """End a stop of a process (SIGSTOP); nothing where there is none."""
    with suppress(OSError, AttributeError):
        os.kill(process, signal.SIGCONT)


def wake_with_parent() -> None:
    """Have a stop of this process (SIGSTOP) end when its parent does, which it could not notice; on Linux alone."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGCONT, 0, 0, 0)
