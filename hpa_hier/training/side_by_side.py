"""Members side by side: one process each, as many at a time as there are GPUs or cores."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from hpa_hier.errors import UserError
from hpa_hier.training.job import Job
from hpa_hier.training.loop.stopping import Interrupted, stop_with_parent

_POLL = 0.1  # seconds between two looks at the children
_DONE, _FAILED, _USER, _INTERRUPTED = 0, 1, 2, 130  # exit statuses of a child


@dataclass(frozen=True)
class Result:
    """How a job ended."""

    name: str
    status: int
    line: str  # one line for the user


def train_side_by_side(jobs: Sequence[Job], slots: Sequence[str]) -> list[Result]:
    """Train members, each in a process of its own, one on each slot at a time.

    A member that fails leaves the others alone. At Ctrl-C all of them are asked to save and stop, once; at a second one
    they are left no time.

    Args:
        jobs: in the order in which they are started.
        slots: device names, one for each process at a time.

    Returns:
        How each ended, in the order of `jobs`; those that never started are left out.
    """
    context = _context()
    waiting, free = deque(jobs), deque(slots)
    running: dict[str, tuple[BaseProcess, Job, str]] = {}
    results: dict[str, Result] = {}
    asked = 0
    with _Ears() as ears:
        while running or (waiting and not ears.heard):
            if ears.heard > asked:
                asked = ears.heard
                _pass_on([process for process, _, _ in running.values()])
            while waiting and free and not ears.heard:
                job, slot = waiting.popleft(), free.popleft()
                running[job.name] = (_start(context, job, slot), job, slot)
            for name in [name for name, (process, _, _) in running.items() if not process.is_alive()]:
                process, job, slot = running.pop(name)
                free.append(slot)
                results[name] = _result(job, process, asked=ears.heard > 0)
                print(results[name].line, file=sys.stderr, flush=True)
            time.sleep(_POLL)
    return [results[job.name] for job in jobs if job.name in results]


class _Ears:
    """Counts the SIGINTs and SIGTERMs that this process gets, instead of falling over them."""

    def __init__(self) -> None:
        self.heard = 0
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> _Ears:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _hear(self, number: int, frame: object) -> None:
        self.heard += 1
        if self.heard == 1:
            os.write(sys.stderr.fileno(), b"\nstopping all members, and saving; once more leaves at once\n")


def _context() -> BaseContext:
    """Return the way of starting processes: forked from a server that has imported all once, where there is that."""
    if "forkserver" in mp.get_all_start_methods():
        context = mp.get_context("forkserver")
        context.set_forkserver_preload(["hpa_hier.training.train_member", "hpa_hier.training.job"])
        # The server imports for seconds; a Ctrl-C of the terminal would end it then. It inherits that it is deaf to it.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        forkserver.ensure_running()
        signal.signal(signal.SIGINT, before)
        return context
    return mp.get_context("spawn")


def _start(context: BaseContext, job: Job, slot: str) -> BaseProcess:
    job.log.parent.mkdir(parents=True, exist_ok=True)
    print(f"{job.name}: training on {slot}, log in {job.log}", file=sys.stderr, flush=True)
    process: BaseProcess = context.Process(target=_child, args=(job, slot), name=job.name)  # type: ignore[attr-defined]
    process.start()
    return process


def _pass_on(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        if process.pid is not None and process.is_alive():
            os.kill(process.pid, signal.SIGTERM)


def _result(job: Job, process: BaseProcess, asked: bool) -> Result:
    process.join()
    status = process.exitcode if process.exitcode is not None else _FAILED
    if asked and status == -signal.SIGTERM:  # it was asked before it listened, or twice
        status = _INTERRUPTED
    last = _last_line(job.log)
    if status == _DONE:
        line = last
    elif status == _USER:
        line = f"{job.name}: {last}"
    elif status == _INTERRUPTED:
        line = f"{job.name}: stopped"
    elif status < 0:
        line = f"{job.name}: failed, ended by {signal.Signals(-status).name}; its log is {job.log}"
    else:
        line = f"{job.name}: failed ({last}); its log is {job.log}"
    return Result(job.name, status, line)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "it said nothing"


def _child(job: Job, slot: str) -> None:
    """Train one member; what it prints goes to its log, how it ended is the exit status."""
    # A group of its own, so that the terminal's Ctrl-C comes once, from the parent, and not twice.
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    stop_with_parent()
    with job.log.open("w", encoding="utf-8", buffering=1) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        sys.exit(_run(job, slot))


def _run(job: Job, slot: str) -> int:
    from hpa_hier.training.job import train_one

    try:
        print(train_one(job, slot), flush=True)
    except UserError as error:
        print(f"error: {error}", flush=True)
        return _USER
    except Interrupted:
        return _INTERRUPTED
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        return _FAILED
    return _DONE
