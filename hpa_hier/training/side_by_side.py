"""Members side by side: one process each, as many at a time as there are GPUs or cores.

Not by joblib, whose workers take one task after another: here each process has one device and one log file of its own,
a killed one takes no other with it, and Ctrl-C has all of them save before they end.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

from hpa_hier.errors import UserError
from hpa_hier.files.faults.shown import show_error
from hpa_hier.members.nodes import find_member
from hpa_hier.places.signals import hold_ctrl_c
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.training.bars import Bars
from hpa_hier.training.loop.stopping import Interrupted, SignalCounter, stop_with_parent
from hpa_hier.training.plan import plan_training

if TYPE_CHECKING:
    from hpa_hier.training.loop.progress import Report

_POLL = 0.1  # seconds between two looks at the processes
_TELL = 0.5  # seconds between two words on how far a process is
_PATIENCE = 2.0  # seconds after a second Ctrl-C before processes are killed
_DONE, _BUG, _USER, _INTERRUPTED = 0, 1, 2, 130  # exit statuses
_UNKNOWN = 255  # as multiprocessing has it where the server that a process was forked from is gone
_STARTS = 3  # of a process, where that server dies meanwhile


@dataclass(frozen=True)
class Job:
    """One member's training in a process of its own."""

    name: str
    config: str | None  # recipe file, as --config
    sets: tuple[str, ...]  # changes to it, as --set
    restart: bool
    threads: int
    log: Path  # everything that the process prints
    after: str | None = None  # the job that must have trained its member before


@dataclass
class _Training:
    """A process that trains a member.

    Attributes:
        job: what it does.
        slot: the device that it has.
        process: itself.
        line: what it tells on: shares of its training as float, in the end its exit status as int.
        status: that it has told.
        hung_up: whether its end of the line is closed, as when it has ended.
    """

    job: Job
    slot: str
    process: BaseProcess
    line: Connection
    status: int | None = None
    hung_up: bool = False

    def listen(self) -> list[float]:
        """Return the shares that it has told since the last look."""
        shares: list[float] = []
        try:
            while not self.hung_up and self.line.poll():
                word: float | int = self.line.recv()
                if isinstance(word, int):
                    self.status = word
                else:
                    shares.append(word)
        except (EOFError, OSError):
            self.hung_up = True
        return shares

    def has_ended(self) -> bool:
        """Return whether it has ended. One whose fork server was killed trains on, while its line is open."""
        if self.process.is_alive():
            return False
        return self.process.exitcode != _UNKNOWN or self.hung_up

    def send(self, number: int) -> None:
        """Send it a signal, also where its fork server is gone, which multiprocessing would take for its end."""
        if self.process.pid and not self.has_ended():
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    def exit_status(self) -> int:
        """Return how it has ended: negative, by a signal."""
        status = self.process.exitcode or _DONE
        if status != _UNKNOWN:
            return status
        return -signal.SIGKILL if self.status is None else self.status


def train_side_by_side(jobs: Sequence[Job], slots: Sequence[str]) -> dict[str, int]:
    """Train members, each in a process of its own, one per slot at a time.

    A member that fails does not stop the others, but for those that start from it. At Ctrl-C all of them are asked to
    save and stop; at a second one they are stopped at once.

    Args:
        jobs: in the order in which they are started, save that one which starts from another waits for that.
        slots: device names, one for each process at a time.

    Returns:
        The exit status of each by its name; those that never started are left out.
    """
    context = _context()
    waiting, free, names = list(jobs), deque(slots), {job.name for job in jobs}
    running: list[_Training] = []
    statuses: dict[str, int] = {}
    passed_on, asked_at = 0, 0.0
    message = "stopping all members, and saving; once more stops them at once"
    with SignalCounter(message) as stop, Bars(len(jobs)) as bars:
        while running or (waiting and not stop.requested):
            if stop.count > passed_on:
                passed_on = stop.count
                asked_at = time.monotonic()
                for training in running:
                    training.send(signal.SIGTERM)
            if stop.count > 1 and time.monotonic() - asked_at > _PATIENCE:
                for training in running:  # one that does not react, as a stopped one
                    training.send(signal.SIGKILL)
            for job in [job for job in waiting if statuses.get(job.after or "") not in (None, _DONE)]:
                waiting.remove(job)
                statuses[job.name] = _USER
                bars.end(job.name)
                bars.write(f"{job.name}: not trained, as it starts from {job.after}")
            ready = [job for job in waiting if job.after not in names or statuses.get(job.after or "") == _DONE]
            for job in ready[: len(free)]:
                if stop.requested:
                    break
                waiting.remove(job)
                slot = free.popleft()
                bars.write(f"{job.name}: training on {slot}, log: {job.log}")
                started = _start(context, job, slot, stop if not running else None)
                running += [started] if started else []
            for training in running[:]:
                ended, name = training.has_ended(), training.job.name  # looked for first: nothing is told after the end
                if shares := training.listen():
                    bars.report(name, shares[-1])
                if ended:
                    running.remove(training)
                    free.append(training.slot)
                    statuses[name], line = _describe_end(training, stop.requested)
                    bars.end(name)
                    bars.write(line)
            time.sleep(_POLL)
        if stop.requested:
            _end_server()
    return statuses


def _end_server() -> None:
    """End what processes are forked from, which else ends after all the imports that it may have just begun."""
    server = getattr(forkserver, "_forkserver", None)
    if number := getattr(server, "_forkserver_pid", None):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGTERM)


def _context() -> BaseContext:
    """Return how processes are started: where possible, forked from a server that has imported everything once."""
    if "forkserver" in mp.get_all_start_methods():
        context = mp.get_context("forkserver")
        context.set_forkserver_preload(["hpa_hier.training.side_by_side", "hpa_hier.training.train_member"])
        return context
    return mp.get_context("spawn")


def _start(context: BaseContext, job: Job, slot: str, stop: SignalCounter | None) -> _Training | None:
    """Start a process.

    Args:
        context: how.
        job: what it does.
        slot: its device.
        stop: where no other process runs yet. A stop that is asked for while the server imports, which takes minutes
            from a slow disk, then ends the server.

    Returns:
        The process; None where a stop was asked for before it began.
    """
    job.log.parent.mkdir(parents=True, exist_ok=True)
    for start in range(1, _STARTS + 1):
        receiver, sender = context.Pipe(duplex=False)
        process: BaseProcess = context.Process(  # type: ignore[attr-defined]
            target=_work, args=(job, slot, sender), name=job.name
        )
        try:
            if context.get_start_method() == "forkserver":
                with hold_ctrl_c():  # which would end the server in the seconds in which it imports
                    forkserver.ensure_running()
            with stop.doing(_end_server) if stop else nullcontext():
                if stop and stop.requested:
                    return None
                process.start()
            break
        except (OSError, EOFError):  # the server was killed, out of memory or by hand
            if stop and stop.requested:
                return None
            if start == _STARTS:
                raise
            time.sleep(_POLL)  # until the system, too, knows that it is gone
        finally:
            sender.close()
    return _Training(job, slot, process, receiver)


def _tell(sender: Connection, share: float, told: list[float]) -> None:
    """Send how far a training is, not more often than it can be seen."""
    if not told or time.monotonic() - told[-1] >= _TELL or share >= 1:
        told[:] = [time.monotonic()]
        with suppress(OSError):  # the parent has gone; the training ends by itself
            sender.send(float(share))


def _describe_end(training: _Training, stop_requested: bool) -> tuple[int, str]:
    """Return how a process that has ended did so: its exit status, and one line for the user."""
    job, status = training.job, training.exit_status()
    log = job.log.read_text(encoding="utf-8", errors="replace") if job.log.exists() else ""
    last = (log.strip().splitlines() or ["its log is empty"])[-1]
    if status == _DONE:
        return status, last
    if status == _USER:
        return status, f"{job.name}: {last}"
    # SIGTERM: before it counted signals; SIGKILL: at a second Ctrl-C
    if status == _INTERRUPTED or (stop_requested and status in (-signal.SIGTERM, -signal.SIGKILL)):
        return _INTERRUPTED, f"{job.name}: stopped"
    why = f"failed, killed by {signal.Signals(-status).name}" if status < 0 else f"failed ({last})"
    return status, f"{job.name}: {why}; log: {job.log}"


def _work(job: Job, slot: str, sender: Connection) -> None:
    """Train one member in this process; print to its log, and exit with how it ended: 1, with a traceback, at a bug."""
    # A group of its own, so that the terminal's Ctrl-C comes from the parent alone.
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # held back in the server that it was forked from
    stop_with_parent()
    job.log.unlink(missing_ok=True)  # a link is removed, and what it leads to is not written to
    with job.log.open("x", encoding="utf-8", buffering=1) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    status = _BUG
    try:
        told: list[float] = []
        print(_train(job, slot, lambda share: _tell(sender, share, told)), flush=True)
        status = _DONE
    except UserError as error:
        print(f"error: {show_error(str(error))}", flush=True)
        status = _USER
    except Interrupted:
        status = _INTERRUPTED
    except SystemExit as end:  # of several processes of one member, another tells why
        status = end.code if isinstance(end.code, int) else _BUG
    finally:
        with suppress(OSError):
            sender.send(status)
    sys.exit(status)


def _train(job: Job, device: str, report: Report) -> str:
    """Train a member as `train --member NAME` does; return the line that it ends with."""
    from hpa_hier.training.processes.team import form_team
    from hpa_hier.training.train_member import TrainOptions, train_member  # Lightning: seconds that the parent saves

    recipe = load_recipe(job.config, job.sets)
    member = find_member(recipe, job.name)
    settings = recipe.member_training(member)
    # What further processes of this member repeat.
    words = ["--member", job.name, "--device", device, "--threads", str(job.threads)]
    words += ["--restart"] * job.restart + (["--config", job.config] if job.config else [])
    words += [word for change in job.sets for word in ("--set", change)]
    with form_team(*settings.processes, job.name, settings.wait, words, "") as team:
        plan = plan_training(team.after_first(lambda: start_run(recipe, named=False)), member)
        return train_member(plan, TrainOptions(device, job.restart, True, report, threads=job.threads, team=team))
