"""Dask as a place: workers on this machine, or those of a scheduler that runs."""

from __future__ import annotations

import logging
import time
from asyncio import CancelledError
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, InvalidStateError
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any

from hpa_hier.errors import UserError
from hpa_hier.files.extras import import_extra
from hpa_hier.places.engine import Engine
from hpa_hier.places.signals import hold_ctrl_c, wake

_LOOK = 1.0  # seconds between two looks for the scheduler
_GONE = 20.0  # seconds without a connection after which it is taken for dead
_LOST = "the scheduler is gone; start it again"
_WAIT = 30.0  # seconds for a scheduler to answer, and for its first worker to connect


@contextmanager
def open_local(count: int) -> Iterator[Engine]:
    """Start Dask workers on this machine: processes of one thread each."""
    distributed = import_extra("distributed", "dask", "--backend dask-local")
    import dask

    # A worker's death is told at once, and what it was doing is called again by the place, which counts. A dead worker
    # is started again, however long that takes on a busy machine; without this, Dask gives it up after 15 seconds.
    settings = {"distributed.scheduler.allowed-failures": 0, "distributed.deploy.lost-worker-timeout": "1 day"}
    with dask.config.set(settings), _quiet():
        with hold_ctrl_c():
            cluster = distributed.LocalCluster(
                n_workers=count, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0
            )
            client = distributed.Client(cluster, set_as_default=False)
        try:
            yield Engine(count, _Dask(client))
        finally:
            for nanny in cluster.workers.values():
                if nanny.pid:
                    wake(nanny.pid)  # one that was stopped, which Dask would wait for
            client.close()
            cluster.close()


@contextmanager
def connect(name: str, workers: int | None) -> Iterator[Engine]:
    """Connect to a scheduler, dask://HOST:PORT.

    Raises:
        UserError: nothing answers there, or no worker connects to it.
    """
    distributed = import_extra("distributed", "dask", f"--backend {name}")
    address = f"tcp://{name.removeprefix('dask://')}"
    try:
        with _quiet():
            client = distributed.Client(address, timeout=_WAIT, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise UserError(
            f"--backend {name}: no Dask scheduler answers there ({type(error).__name__}); start one with `dask "
            "scheduler`, and workers with `dask worker HOST:PORT`"
        ) from None
    try:
        try:
            client.wait_for_workers(1, timeout=_WAIT)
        except TimeoutError:
            address = address.removeprefix("tcp://")
            raise UserError(
                f"--backend {name}: the scheduler has no worker; start some with `dask worker {address}`"
            ) from None
        there = sum(client.nthreads().values())
        yield Engine(workers or there, _Dask(client), here=False)
    finally:
        with _quiet():
            client.close(timeout=_GONE)


class _Dask(Executor):
    """Tasks of a Dask client.

    Not the client's own executor, which waits for ever where a worker dies between computing and telling its result.
    """

    def __init__(self, client: Any) -> None:  # noqa: ANN401
        self._client, self._gone = client, False
        self._pending: set[Future[Any]] = set()
        Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        """Give up everything when the scheduler has not answered for a while; Dask itself would wait, and again."""
        seen = time.monotonic()
        while self._client.status != "closed" and not self._gone:
            time.sleep(_LOOK)
            if self._client.status == "running":
                seen = time.monotonic()
            self._gone = time.monotonic() - seen > _GONE
        self._gone = True
        for future in list(self._pending):
            with suppress(InvalidStateError):
                future.set_exception(ConnectionError(_LOST))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        """Call a function on a worker."""
        if self._gone:
            raise ConnectionError(_LOST)
        task = self._client.submit(fn, pure=False)
        future: Future[Any] = Future()
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)

        async def follow() -> None:
            try:
                answer = await task
            except (Exception, CancelledError) as error:
                with suppress(InvalidStateError):  # cancelled, or given up
                    future.set_exception(error if isinstance(error, Exception) else ConnectionError("its task is gone"))
            else:
                with suppress(InvalidStateError):
                    future.set_result(answer)

        future.add_done_callback(lambda done: task.cancel() if done.cancelled() else None)
        self._client.loop.add_callback(follow)
        return future


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask from printing what this package tells in one line."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
