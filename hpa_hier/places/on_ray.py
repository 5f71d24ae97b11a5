"""Ray as a place: the cluster of this machine, or workers that are started here."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

from hpa_hier.files.extras import import_extra
from hpa_hier.places.engine import Engine
from hpa_hier.places.signals import hold_ctrl_c


@contextmanager
def open_ray(workers: int | None, default: Callable[[], int]) -> Iterator[Engine]:
    """Connect to the cluster that RAY_ADDRESS names or that runs on this machine; else start workers here.

    Args:
        workers: calls at a time; None: what the cluster has.
        default: tells how many workers are started here where none was asked for.
    """
    ray = import_extra("ray", "ray", "--backend ray")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a call that asks for no GPU still sees them all
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "include_dashboard": False}
    here = False
    with hold_ctrl_c():
        try:
            ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
        except ConnectionError:
            ray.init(num_cpus=workers or default(), **quiet)
            here = True
    try:
        there = int(ray.cluster_resources().get("CPU", 1))
        yield Engine(workers or there, _Ray(ray), here=here)
    finally:
        ray.shutdown()


class _Ray(Executor):
    """Ray's tasks, of one core each."""

    def __init__(self, ray: Any) -> None:  # noqa: ANN401
        # Never called again by Ray itself: the place does that, and counts.
        self._task = ray.remote(_call).options(num_cpus=1, max_retries=0)
        self._ray = ray

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        """Call a function on a worker."""
        reference = self._task.remote(fn)
        future: Future[Any] = reference.future()

        def forget(done: Future[Any]) -> None:
            if done.cancelled():
                self._ray.cancel(reference)

        future.add_done_callback(forget)
        return future


def _call(function: Callable[[], Any]) -> Any:  # noqa: ANN401
    return function()
