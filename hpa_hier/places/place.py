"""A place: workers that call a function for many items, in order, and call it again for what a dead worker lost."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from itertools import islice
from threading import Lock
from typing import Any, TypeVar

from hpa_hier.errors import UserError
from hpa_hier.files.extras import check_extra
from hpa_hier.places.call import Call, Ground, settle
from hpa_hier.places.engine import Engine
from hpa_hier.places.processor import count_cores

MOST_CALLS = 3  # of a function for one item, where its worker dies each time
_AHEAD = 4  # items per worker that may have been begun, or be waiting, before their answers are taken
_DASK = "dask://"
_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


class Place:
    """Workers that are ready; made by `open_place`.

    Attributes:
        name: as --backend has it.
        workers: calls at a time.
        here: whether the workers were started for this process, on this machine.
    """

    def __init__(self, name: str, engine: Engine) -> None:
        self.name, self.workers, self.here = name, engine.workers, engine.here
        self._engine = engine
        self._ground = Ground.here(moves=not engine.threads)
        # What was lost is submitted again from a thread of its own: an engine tells of it in one of its threads.
        self._again = ThreadPoolExecutor(1, thread_name_prefix="again")
        self._alone = ThreadPoolExecutor(engine.workers, thread_name_prefix="alone")  # each waits for its call
        self._lock, self._closing, self._inner = Lock(), False, dict[Future[Any], Future[Any]]()

    def map(
        self, function: Callable[[_Item], _Answer], items: Iterable[_Item], name: Callable[[_Item], str] = str
    ) -> Iterator[_Answer]:
        """Yield the answers of a function in the order of the items.

        Args:
            function: of the top level of a module, or a partial of one; calling it twice does no harm.
            items: they, and the answers, are small: paths rather than images. They are taken as workers need them.
            name: what to call an item in an error.

        Raises:
            UserError: the function raised it, or the workers died of one item again and again.
            Exception: the function raised it; a note names the item.
        """
        rest, begun = iter(items), deque[Future[_Answer]]()
        try:
            for item in islice(rest, _AHEAD * self.workers):
                begun.append(self.submit(function, item, name(item)))
            while begun:
                answer = begun.popleft().result()
                for item in islice(rest, 1):
                    begun.append(self.submit(function, item, name(item)))
                yield answer
        finally:
            for future in begun:
                self.cancel(future)

    def submit(self, function: Callable[[_Item], _Answer], item: _Item, name: str) -> Future[_Answer]:
        """Call a function of an item on a worker, and again on another where that one dies.

        Returns:
            What will hold its answer, or what it raised.
        """
        outer: Future[_Answer] = Future()
        self._call(outer, Call(function, item, self._ground), name, 1)
        return outer

    def cancel(self, outer: Future[Any]) -> None:
        """Take back a call that has not begun; the answer of one that has is not waited for."""
        outer.cancel()
        with self._lock:
            inner = self._inner.pop(outer, None)
        if inner is not None:
            inner.cancel()

    def close(self) -> None:
        """Call nothing again."""
        self._closing = True
        with self._lock:
            pending = list(self._inner)
        for outer in pending:
            self.cancel(outer)
        for threads in (self._again, self._alone):
            threads.shutdown(wait=False, cancel_futures=True)

    def _call(self, outer: Future[Any], call: Call, name: str, number: int, alone: bool = False) -> None:
        """Make one of the calls for an item; `number` counts from 1."""
        if self._closing or outer.cancelled():
            return
        try:
            if alone and self._engine.call_alone:
                inner: Future[Any] = self._alone.submit(self._engine.call_alone, call)
            else:
                inner = self._engine.executor.submit(call)
        except Exception as error:
            self._give_up(outer, name, f"could not be handed over ({type(error).__name__}: {error})")
            return
        with self._lock:
            self._inner[outer] = inner
        inner.add_done_callback(partial(self._take, outer, call, name, number))

    def _take(self, outer: Future[Any], call: Call, name: str, number: int, inner: Future[Any]) -> None:
        """Take what a call ended with: its answer, or the loss of its worker."""
        with self._lock:
            self._inner.pop(outer, None)
        if self._closing or outer.cancelled():
            return
        error = CancelledError("its engine has stopped") if inner.cancelled() else inner.exception()
        lost = inner.result().lost if error is None else _describe(error)
        if not lost:
            settle(outer, inner.result(), name)
        elif number == MOST_CALLS:
            self._give_up(outer, name, f"was lost {number} times, the last time because {lost}")
        else:
            print(f"{name}: {lost}; once more on another worker", file=sys.stderr)
            alone = error is not None and number + 1 == MOST_CALLS
            with suppress(RuntimeError):  # closed meanwhile
                self._again.submit(self._call, outer, call, name, number + 1, alone=alone)

    def _give_up(self, outer: Future[Any], name: str, why: str) -> None:
        if outer.set_running_or_notify_cancel():
            outer.set_exception(
                UserError(f"--backend {self.name}: {name} {why}; what was finished is kept, the same command goes on")
            )


def _describe(error: BaseException) -> str:
    """Return an engine's error in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"its worker was lost ({type(error).__name__}{': ' + lines[0][:160] if lines else ''})"


def check_place(name: str, workers: int | None = None) -> None:
    """Refuse a place that cannot be opened from here, before anything is done for it; imports no engine.

    Args:
        name: as for `open_place`.
        workers: as for `open_place`.

    Raises:
        UserError: a package is missing, there is no SLURM, or it is not told how many jobs may run.

    >>> check_place("threading")
    """
    if name == "dask-local" or name.startswith(_DASK):
        check_extra("distributed", "dask", f"--backend {name}")
    elif name == "ray":
        check_extra("ray", "ray", "--backend ray")
    elif name == "slurm":
        from hpa_hier.places.on_slurm import check_slurm

        check_slurm(workers)


@contextmanager
def open_place(name: str, workers: int | None = None, default: Callable[[], int] = count_cores) -> Iterator[Place]:
    """Open a place: start its engine, or connect to the one that runs.

    Args:
        name: loky, threading, dask-local, dask://HOST:PORT, ray or slurm.
        workers: calls at a time; None: `default`, or what an engine has that runs. SLURM asks for a number.
        default: tells how many workers are started here where none was asked for.

    Raises:
        UserError: a package is missing, nothing answers there, or no worker is connected.

    >>> with open_place("threading", 2) as place:
    ...     list(place.map(len, ["a", "bb", "ccc"]))
    [1, 2, 3]
    """
    with ExitStack() as stack:
        place = Place(name, stack.enter_context(_open(name, workers, default)))
        stack.callback(place.close)  # before the engine is shut down
        yield place


def _open(name: str, workers: int | None, default: Callable[[], int]) -> AbstractContextManager[Engine]:
    check_place(name, workers)
    # Each engine's file imports its library when it is opened.
    if name in ("loky", "threading"):
        from hpa_hier.places import on_this_machine

        count = workers or default()
        return on_this_machine.open_loky(count) if name == "loky" else on_this_machine.open_threads(count)
    if name == "dask-local" or name.startswith(_DASK):
        from hpa_hier.places import on_dask

        return on_dask.open_local(workers or default()) if name == "dask-local" else on_dask.connect(name, workers)
    if name == "ray":
        from hpa_hier.places import on_ray

        return on_ray.open_ray(workers, default)
    if name == "slurm":
        from hpa_hier.places import on_slurm

        return on_slurm.open_slurm(workers)
    raise ValueError(f"no place is called {name!r}")
