"""SLURM as a place: each call is a job of an array, handed over by submitit."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any

from hpa_hier.errors import UserError
from hpa_hier.files.extras import check_extra, import_extra
from hpa_hier.files.faults.leftovers import name_temporary, sweep
from hpa_hier.places.engine import Engine

_ASK = 5.0  # seconds between two questions to the queue
_GRACE = 60.0  # seconds for an ended job's answer to be seen on a slow shared file system
_GATHER = 0.3  # seconds between two looks at what has ended, and in which calls are gathered into one array
_ALIVE = (
    "PENDING",
    "CONFIGURING",
    "RUNNING",
    "COMPLETING",
    "SUSPENDED",
    "STOPPED",
    "REQUEUED",
    "RESIZING",
    "SIGNALING",
)
_FOLDER = "slurm"  # stem of the name of what holds what travels
_TOUCH = 60.0  # seconds between two signs of life
_TIME = 24 * 60  # minutes that a job may take; SBATCH_TIMELIMIT overrules it
_Ask = Callable[[list[str]], dict[str, str]]


@contextmanager
def open_slurm(workers: int | None, engine: str = "slurm") -> Iterator[Engine]:
    """Open the queue of SLURM.

    Args:
        workers: jobs at a time.
        engine: slurm; local: submitit's own processes on this machine, for tests where there is no SLURM.

    Raises:
        UserError: there is no SLURM here, or no number of jobs was asked for.
    """
    workers = check_slurm(workers, engine)
    submitit = import_extra("submitit", "slurm", "--backend slurm")
    logging.getLogger("submitit").setLevel(logging.ERROR)
    # What travels lies in a hidden folder here, where all machines see it, for as long as this runs.
    with _make_folder() as folder:
        executor = submitit.AutoExecutor(str(folder), cluster=engine)
        executor.update_parameters(timeout_min=_TIME, slurm_job_name="hpa-hier", slurm_array_parallelism=workers)
        jobs = _Jobs(executor, workers, ask_queue if engine == "slurm" else None, folder)
        try:
            yield Engine(workers, jobs, here=False)
        finally:
            jobs.shutdown()


@contextmanager
def _make_folder() -> Iterator[Path]:
    """Make a folder here that others cannot read, and remove it in the end, and those of processes that were killed."""
    sweep(Path.cwd(), _FOLDER)
    folder = name_temporary(Path.cwd() / _FOLDER)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_slurm(workers: int | None, engine: str = "slurm") -> int:
    """Return the number of jobs at a time; refuse where none was asked for, or there is no SLURM.

    Raises:
        UserError: as `open_slurm`.
    """
    check_extra("submitit", "slurm", "--backend slurm")
    if engine == "slurm" and not (shutil.which("sbatch") and shutil.which("srun")):
        raise UserError("--backend slurm: there is no sbatch here; start this on a machine that hands jobs to SLURM")
    if not workers:
        raise UserError(
            "--backend slurm: say how many jobs may run at a time, as in --jobs 8 of train, --workers 8 of data"
        )
    return workers


def ask_queue(jobs: list[str]) -> dict[str, str]:
    """Return the state of each job that SLURM knows, as in RUNNING.

    Raises:
        OSError: SLURM does not answer.
    """
    arrays = sorted({job.partition("_")[0] for job in jobs})
    asked = ["squeue", "--noheader", "--array", "--format=%i %T", "--states=all", "--jobs", ",".join(arrays)]
    told = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    if told.returncode and "Invalid job id" not in told.stderr:
        raise OSError(told.stderr)
    return {job: state for job, _, state in (line.strip().partition(" ") for line in told.stdout.splitlines())}


class _Jobs(Executor):
    """Jobs of SLURM, at most so many at a time; those that are handed over together are one array."""

    def __init__(self, executor: Any, most: int, ask: _Ask | None, folder: Path) -> None:  # noqa: ANN401
        self._executor, self._most, self._ask, self._folder = executor, most, ask, folder
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._running: dict[Future[Any], Any] = {}
        self._absent: dict[Future[Any], float] = {}  # since when a job is no longer in the queue
        self._end = Event()
        self._thread = Thread(target=self._attend, name="slurm", daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        """Call a function in a job."""
        future: Future[Any] = Future()
        self._queue.put((future, fn))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel all jobs that wait or run."""
        self._end.set()
        self._thread.join()
        for job in self._running.values():
            _cancel(job)

    def _attend(self) -> None:
        """Hand calls over and take their answers, until the place is closed."""
        asked = touched = time.monotonic()
        while not self._end.wait(_GATHER):
            if time.monotonic() - touched > _TOUCH:
                touched = time.monotonic()
                with suppress(OSError):
                    os.utime(self._folder)  # tells other machines that it is somebody's
            self._hand_over()
            for future, job in list(self._running.items()):
                if job.paths.result_pickle.exists() or (self._ask is None and job.done()):
                    self._take(future)
            if self._ask and self._running and time.monotonic() - asked > _ASK:
                asked = time.monotonic()
                self._look_for_lost(self._ask)

    def _hand_over(self) -> None:
        """Hand over as many calls as may run."""
        calls: list[tuple[Future[Any], Callable[[], Any]]] = []
        while len(self._running) + len(calls) < self._most:
            try:
                future, fn = self._queue.get_nowait()
            except Empty:
                break
            if future.set_running_or_notify_cancel():
                calls.append((future, fn))
        if not calls:
            return
        try:
            with self._executor.batch():
                jobs = [self._executor.submit(fn) for _, fn in calls]
            self._running |= dict(zip((future for future, _ in calls), jobs, strict=True))
        except Exception as error:  # as where sbatch refuses
            for future, _ in calls:
                future.set_exception(error)

    def _take(self, future: Future[Any]) -> None:
        """Take the answer of a job that has ended, or what it ended with."""
        job = self._running.pop(future)
        self._absent.pop(future, None)
        try:
            future.set_result(job.result())
        except Exception as error:
            future.set_exception(error)

    def _look_for_lost(self, ask: _Ask) -> None:
        """Give up jobs that have failed, or have left the queue without an answer for a while."""
        try:
            states = ask([str(job.job_id) for job in self._running.values()])
        except (OSError, subprocess.TimeoutExpired):  # SLURM itself may be starting again
            return
        for future, job in list(self._running.items()):
            state = states.get(str(job.job_id), "gone")
            if state in _ALIVE:
                self._absent.pop(future, None)
                continue
            since = time.monotonic() - self._absent.setdefault(future, time.monotonic())
            if since > (_GRACE if state in ("COMPLETED", "gone") else 0) and not job.paths.result_pickle.exists():
                del self._running[future], self._absent[future]
                future.set_exception(ChildProcessError(f"SLURM job {job.job_id} is {state.lower()}, without an answer"))


def _cancel(job: Any) -> None:  # noqa: ANN401
    with suppress(OSError):
        job.cancel(check=False)
