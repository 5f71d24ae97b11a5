"""Places on this machine: threads of this process, and joblib's processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, InvalidStateError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty
from threading import Lock
from typing import Any

from hpa_hier.places.engine import Engine
from hpa_hier.places.signals import end_with, hold_ctrl_c

_IDLE = 300.0  # seconds after which an idle process ends


@contextmanager
def open_threads(count: int) -> Iterator[Engine]:
    """Open threads of this process."""
    executor = ThreadPoolExecutor(count, thread_name_prefix="place")
    try:
        yield Engine(count, executor, threads=True)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def open_loky(count: int) -> Iterator[Engine]:
    """Open processes of loky, which is joblib's."""
    executor = _Loky(count)
    try:
        yield Engine(count, executor, call_alone=executor.call_alone)
    finally:
        executor.shutdown()


class _Loky(Executor):
    """Processes that are all started again where one of them died, as its death ends the calls of the others too."""

    def __init__(self, count: int) -> None:
        self._count, self._lock = count, Lock()
        self._processes, self._alone, self._ended = _start(count), set[Any](), False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        """Call a function in a process."""
        with self._lock, hold_ctrl_c():
            if self._processes._flags.broken is not None:
                self._processes.shutdown(wait=False, kill_workers=True)
                self._processes = _start(self._count)
            future: Future[Any] = self._processes.submit(fn, *args, **kwargs)
            future.set_exception = partial(_tell, future)  # type: ignore[method-assign]
            return future

    def call_alone(self, call: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Call a function in a process that no other call shares its fate with."""
        with self._lock, hold_ctrl_c():
            if self._ended:
                raise CancelledError
            alone = _start(1)
            self._alone.add(alone)
            future = alone.submit(call)
        try:
            return future.result()
        finally:
            self._alone.discard(alone)
            alone.shutdown(wait=False, kill_workers=True)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes, whatever they are doing."""
        with self._lock:
            self._ended = True
        for processes in (self._processes, *self._alone):
            with suppress(Empty):  # calls that wait: loky drops them, and then stumbles over their numbers
                while True:
                    processes._work_ids.get_nowait()
            processes.shutdown(wait=wait, kill_workers=True)


def _tell(future: Future[Any], error: BaseException | None) -> None:
    """Set the exception of a future that nobody has cancelled; over one that is, loky stumbles and kills no worker."""
    with suppress(InvalidStateError):
        Future.set_exception(future, error)


def _start(count: int) -> Any:  # noqa: ANN401
    from joblib.externals.loky.process_executor import ProcessPoolExecutor

    return ProcessPoolExecutor(count, timeout=_IDLE, initializer=end_with, initargs=(os.getpid(),))
