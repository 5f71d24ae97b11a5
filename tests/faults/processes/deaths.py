"""Processes that are killed, or stopped: workers, what they are forked from, and the command itself."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

from faults.processes.moments import ENDS, SECONDS, Undisturbed
from faults.processes.started import Process, Started

_BEGIN = 120.0  # seconds for a command to start its workers
_END = 300.0  # seconds for a command that goes on without one of its workers
_AGENTS = 90.0  # seconds for Ray's own agents, which tell a scheduler that is gone for one minute
_NOTICE = 30.0  # seconds for workers to notice that the command is gone, to save, and to end
# What only tidies up, and what is a Ray cluster itself.
# Ray's own agents too: with one of them its raylet dies, which is a lost scheduler and not a lost worker.
_NO_WORKERS = (
    "resource_tracker",
    "gcs_server",
    "raylet",
    "/ray/",
    "ray_process_reaper",
    "log_monitor",
    "IDLE",
    "Agent",
)


def is_worker(process: Process) -> bool:
    """Whether a process does some of the work; one without a command line is just being started."""
    if is_fork_server(process) or not process.command:
        return False
    return not any(word in process.command for word in _NO_WORKERS)


def is_fork_server(process: Process) -> bool:
    """Whether others, which look alike, are forked from a process."""
    return "multiprocessing.forkserver" in process.command and not process.forked


def is_command(process: Process) -> bool:
    """Whether a process trains a member that another one has begun, or is a step of a command."""
    return process.forked or any(word in process.command for word in ("hpa_hier.places.child", "hpa_hier.train "))


def kill_worker(calm: Undisturbed, rng: random.Random, *, goes_on: bool, told: str = "") -> str | None:
    """Kill a worker at a random moment.

    Args:
        calm: the command.
        rng: for the moment, and which worker.
        goes_on: whether the command then ends as if nothing had happened; else the same command does, typed again.
        told: what it says where it does not go on.

    Returns:
        What went otherwise than promised, "" where nothing did; None where nobody could be killed.
    """
    there = calm.prepare()
    started = calm.start(there)
    try:
        killed = _act(started, calm, rng, is_worker, signal.SIGKILL)
        if killed is None:
            return None
        said = f"{calm.long.name}: killed {killed.command[:80]!r}"
        status = started.wait(_END)
        if status is None:
            return f"{said}: not ended {_END:g} s later: {started.text[-300:]!r}"
        text, wrong = started.text, _check_left(started, SECONDS)
        if "Traceback" in text:
            wrong += f"a traceback: {text[-600:]!r}; "
        if goes_on and status != calm.status:
            wrong += f"status {status}: {text[-300:]!r}; "
        if not goes_on and status != calm.status and told not in text:
            wrong += f"status {status}, and does not say {told!r}: {text[-300:]!r}; "
    finally:
        started.kill_all()
    wrong += calm.compare() if goes_on else calm.repeat(there)
    return f"{said}: {wrong}" if wrong else ""


def kill_fork_server(calm: Undisturbed, rng: random.Random) -> str | None:
    """Kill what members are forked from while they train: they train on, and end as if nothing had happened."""
    there = calm.prepare()
    started = calm.start(there)
    try:
        if _act(started, calm, rng, is_fork_server, signal.SIGKILL) is None:
            return None
        said, status = f"{calm.long.name}: killed the fork server", started.wait(_END)
        wrong = _check_left(started, SECONDS)
        if status != calm.status or "Traceback" in started.text:
            wrong += f"status {status}: {started.text[-600:]!r}; "
    finally:
        started.kill_all()
    wrong += calm.compare()
    return f"{said}: {wrong}" if wrong else ""


def kill_parent(calm: Undisturbed, rng: random.Random, *, stopping: bool = False) -> str | None:
    """Kill the command itself at a random moment: its workers end, and typed again it gives the same result.

    Args:
        calm: the command.
        rng: for the moment.
        stopping: whether a worker is stopped before, which notices nothing.
    """
    there = calm.prepare()
    started = calm.start(there)
    try:
        if stopping:
            stopped = _act(started, calm, rng, is_worker, signal.SIGSTOP)
            if stopped is None or started.wait(1.0) is not None:
                return None
            said = f"stopped {stopped.command[:80]!r}, then killed itself"
        else:
            if started.wait(rng.uniform(0.1, calm.last())) is not None:
                return None
            said = "killed itself"
        os.kill(started.number, signal.SIGKILL)
        started.wait(SECONDS)
        wrong = _check_left(started, _NOTICE)
    finally:
        started.kill_all()
    wrong += calm.repeat(there)
    return f"{calm.long.name}: {said}: {wrong}" if wrong else ""


def stop(calm: Undisturbed, rng: random.Random, *, which: Callable[[Process], bool]) -> str | None:
    """Stop a process, which then does not react to Ctrl-C; a second one ends it, and typed again all goes on."""
    there = calm.prepare()
    started = calm.start(there)
    try:
        stopped = _act(started, calm, rng, which, signal.SIGSTOP)
        if stopped is None:
            return None
        said = f"{calm.long.name}: stopped {stopped.command[:80]!r}, then Ctrl-C twice"
        os.kill(started.number, signal.SIGINT)
        if started.wait(3.0) is None:
            os.kill(started.number, signal.SIGINT)
        began = time.monotonic()
        status = started.wait(SECONDS)
        if status is None:
            return f"{said}: not ended {SECONDS:g} s later: {started.text[-300:]!r}"
        wrong = _check_left(started, began + SECONDS - time.monotonic())
        if status not in (*ENDS, calm.status) or "Traceback" in started.text:
            wrong += f"status {status}: {started.text[-600:]!r}; "
    finally:
        started.kill_all()
    wrong += calm.repeat(there)
    return f"{said}: {wrong}" if wrong else ""


def _act(
    started: Started, calm: Undisturbed, rng: random.Random, which: Callable[[Process], bool], number: int
) -> Process | None:
    """Send a signal to a process of a command at a random moment after the first such is there; None: there is none."""
    until = time.monotonic() + _BEGIN
    while not any(which(one) for one in started.list_processes()) and time.monotonic() < until:
        if started.wait(0.05) is not None:
            return None
    if started.wait(rng.uniform(0, calm.last() * 0.2)) is not None:
        return None
    chosen = sorted(one for one in started.list_processes() if which(one))
    if not chosen:
        return None
    victim = rng.choice(chosen)
    try:
        os.kill(victim.number, number)
    except ProcessLookupError:
        return None
    return victim


def _check_left(started: Started, seconds: float) -> str:
    left = started.wait_for_processes(seconds)
    if left and all("ray::" in one.command for one in left):
        left = started.wait_for_processes(_AGENTS - seconds)
    return f"{len(left)} processes left, as {left[0].command[:100]}; " if left else ""
