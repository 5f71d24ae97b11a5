"""Members and folds on a place: each is the command that trains it, resumed elsewhere where its worker dies."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass
from pathlib import Path

from hpa_hier.errors import UserError, one_line
from hpa_hier.files.faults.machine import describe_refusal
from hpa_hier.members.nodes import find_member
from hpa_hier.members.scores_file import fold_folder
from hpa_hier.places.child import EXIT_INTERRUPTED
from hpa_hier.places.command import AT_ONCE, Command, Ended, Lease, change_times, run_command
from hpa_hier.places.place import Place
from hpa_hier.runs.manifest import MANIFEST
from hpa_hier.runs.run import Run
from hpa_hier.training.bars import Bars
from hpa_hier.training.loop.stopping import SignalCounter
from hpa_hier.training.plan import CHECKPOINT, count_folds

_LOOK = 0.2  # seconds between two looks for Ctrl-C
_DONE, _BUG, _USER = 0, 1, 2  # exit statuses


@dataclass(frozen=True)
class Task:
    """A command that trains a member, or the network of one of its folds.

    Attributes:
        name: as it is told to the user.
        words: module and flags, but for the device.
        folder: that it writes, and locks.
        once: flags of a first start only, as --restart.
        after: names of the tasks that must have ended well before.
    """

    name: str
    words: tuple[str, ...]
    folder: Path
    once: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def list_tasks(
    name: str, words: Sequence[str], folder: Path, folds: int, *, restart: bool, after: Sequence[str] = ()
) -> list[Task]:
    """List what trains a member: its folds, each by itself, and then what joins them.

    Args:
        name: the member's.
        words: module and flags that train it.
        folder: its folder.
        folds: how many; 0: a single network.
        restart: discard what has been trained.
        after: tasks that come before.
    """
    once = ("--restart",) if restart else ()
    if not folds:
        return [Task(name, tuple(words), folder, once, tuple(after))]
    each = [
        Task(
            f"{name}, fold {fold + 1} of {folds}", (*words, "--fold", str(fold + 1)), fold_folder(folder, fold), once,
            tuple(after),
        )
        for fold in range(folds)
    ]  # fmt: skip
    return [*each, Task(name, tuple(words), folder, after=tuple(task.name for task in each))]


def list_all_tasks(run: Run, members: Mapping[str, str | None], words: Sequence[str], *, restart: bool) -> list[Task]:
    """List what trains several members of a run's recipe.

    Args:
        run: theirs.
        members: names, each with the member that it starts from, if any.
        words: module and flags that all of them have.
        restart: discard what has been trained.
    """
    tasks: list[Task] = []
    for name, start in members.items():
        folds = count_folds(run, find_member(run.recipe, name))
        own = (*words, "--member", name)
        tasks += list_tasks(
            name,
            own,
            run.member_folder(name),
            folds,
            restart=restart,
            after=(start,) if start and start in members else (),
        )
    return tasks


def train_on_place(tasks: Sequence[Task], place: Place, home: Path, devices: Sequence[str]) -> dict[str, int]:
    """Train members on a place, as many at a time as it has workers.

    One that fails does not stop the others, but for those that start from it. At Ctrl-C all of them are asked to save
    and stop; at a second one they are stopped at once.

    Args:
        tasks: in the order in which they are begun, save that one which comes after another waits for that.
        place: where.
        home: folder that all workers see, for a file that tells them to go on.
        devices: names, one for each worker; a single one: for all.

    Returns:
        The exit status of each by its name; those that never began are left out.
    """
    waiting, statuses = list(tasks), dict[str, int]()
    running: dict[Future[Ended], tuple[Task, str]] = {}
    free = deque(devices[worker % len(devices)] for worker in range(place.workers))
    message = "stopping all members, and saving; once more stops them at once"
    with Lease(home) as lease, SignalCounter(message) as stop, Bars(len(tasks)) as bars:
        passed_on, leave_at = 0, math.inf
        while (running and time.monotonic() < leave_at) or (waiting and not stop.requested):
            if stop.count > passed_on:
                passed_on = stop.count
                if passed_on == 1:
                    lease.end()
                else:
                    lease.end_at_once()
                    # What a dead machine has is not waited for longer; nothing is, at a third Ctrl-C.
                    leave_at = time.monotonic() + (AT_ONCE if passed_on == 2 else 0)
            for task in [] if stop.requested else _ready(waiting, statuses, len(free)):
                waiting.remove(task)
                device = free.popleft()
                log = _begin(task)
                bars.write(f"{task.name}: training on {place.name} ({device}), log: {log}")
                running[place.submit(run_command, _make_command(task, device, log, lease), task.name)] = task, device
            for future in wait(running, _LOOK, FIRST_COMPLETED).done:
                task, device = running.pop(future)
                free.append(device)
                statuses[task.name], line = _describe_end(task, future)
                bars.end(task.name)
                bars.write(line)
            for task in _find_hopeless(waiting, statuses):
                waiting.remove(task)
                statuses[task.name], line = _describe_hopeless(task, statuses)
                bars.end(task.name)
                bars.write(line)
    return statuses


def _ready(waiting: Sequence[Task], statuses: Mapping[str, int], most: int) -> list[Task]:
    """Return the first tasks that nothing holds back."""
    return [task for task in waiting if all(statuses.get(one) == _DONE for one in task.after)][:most]


def _find_hopeless(waiting: Sequence[Task], statuses: Mapping[str, int]) -> list[Task]:
    """Return the tasks that come after one that has not ended well, once all that they come after have ended."""
    return [
        task
        for task in waiting
        if all(one in statuses for one in task.after) and any(statuses[one] != _DONE for one in task.after)
    ]


def _describe_hopeless(task: Task, statuses: Mapping[str, int]) -> tuple[int, str]:
    """Return the exit status of a task that cannot begin, and one line for the user: a stop, else the worst before."""
    bad = {name: statuses[name] for name in task.after if statuses[name] != _DONE}
    if stopped := [name for name, status in bad.items() if status == EXIT_INTERRUPTED]:
        return EXIT_INTERRUPTED, f"{task.name}: not begun, as {'; '.join(stopped)} stopped"
    crashes = [status for status in bad.values() if status != _USER]
    return max(crashes, default=_USER), f"{task.name}: not trained, as {'; '.join(bad)} failed"


def _begin(task: Task) -> Path:
    """Return the log of a task, empty."""
    log = task.folder / "train.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)  # a link is removed, and what it leads to is not written to
    log.touch()
    return log


def _make_command(task: Task, device: str, log: Path, lease: Lease) -> Command:
    return Command(
        words=(*task.words, "--device", device),
        folder=str(Path.cwd()),
        log=str(log.resolve()),
        lease=str(lease.path.resolve()),
        lock=str((task.folder / "lock").resolve()),
        once=task.once,
        begun=change_times((task.folder.resolve() / CHECKPOINT, task.folder.resolve() / MANIFEST)),
    )


def _describe_end(task: Task, future: Future[Ended]) -> tuple[int, str]:
    """Return how a task ended: its exit status, and one line for the user."""
    try:
        ended = future.result()
    except UserError as error:
        return _USER, f"{task.name}: {error}"
    except CancelledError:  # it waited for a worker when the user asked to stop
        return EXIT_INTERRUPTED, f"{task.name}: stopped before it began"
    except Exception as error:  # as of a worker whose disk is full; the other members go on
        if (refused := describe_refusal(error)) is not None:
            return _USER, f"{task.name}: {one_line(refused)}"
        log = task.folder / "train.log"
        return _BUG, f"{task.name}: failed ({type(error).__name__}: {error}); log: {log}"
    if ended.status == EXIT_INTERRUPTED:
        return ended.status, f"{task.name}: stopped"
    if ended.status == _DONE:
        return ended.status, ended.line
    if ended.status == _USER:
        return ended.status, f"{task.name}: {ended.line}"
    return ended.status, f"{task.name}: failed on {ended.host} ({ended.line}); log: {task.folder / 'train.log'}"
