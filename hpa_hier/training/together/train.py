"""Train members together in this process: each as ever, in turns, and each batch that several need made once."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from hpa_hier.errors import UserError, one_line
from hpa_hier.files.faults.machine import describe_refusal
from hpa_hier.training.bars import Bars
from hpa_hier.training.loop.stopping import Interrupted, SignalCounter
from hpa_hier.training.plan import plan_training
from hpa_hier.training.together.shared import Seat, SharedBatches
from hpa_hier.training.together.turns import Turns
from hpa_hier.training.train_member import TrainOptions, train_member

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpa_hier.runs.run import Run
    from hpa_hier.settings.recipe import MemberSettings

_POLL = 0.1  # seconds between two looks at the trainings
_DONE, _BUG, _USER, _INTERRUPTED = 0, 1, 2, 130  # exit statuses, as of members side by side


@dataclass
class _Training:
    """One member's training in a thread."""

    member: MemberSettings
    log: Path
    share: float = 0.0  # of it that is done
    status: int | None = None  # None: it runs
    line: str = ""  # that it ended with
    kind: str | None = None  # of its batches; "" for ones of its own; None: it has not come to them


def train_together(
    run: Run, members: Sequence[MemberSettings], after: Mapping[str, str | None], options: TrainOptions
) -> dict[str, int]:
    """Train members in this process, taking turns by batches.

    Each has the weights that it would have alone, to the last bit. Members whose batches hold the same images, as those
    with one `training.data_seed` and the same training images, read and vary each batch once. A member that starts from
    another one waits for it. One that fails does not stop the others, but for those that start from it. At Ctrl-C all
    of them save and stop.

    Args:
        run: of all of them.
        members: in the order of their turns.
        after: the member that each starts from; None: none.
        options: how to run each; `report`, `join` and `stop` are set here.

    Returns:
        The exit status of each by its name; those that never started are left out.

    Raises:
        UserError: a member is trained by several processes.
    """
    _check_processes(run, members)
    statuses: dict[str, int] = {}
    waiting = list(members)
    names = {member.name for member in members}
    message = "stopping all members, and saving; once more stops at once"
    with SignalCounter(message, most=1) as stop, Bars(len(members)) as bars, _logs_by_thread():
        while waiting and not stop.requested:
            for member in [one for one in waiting if statuses.get(after.get(one.name) or "") not in (None, _DONE)]:
                waiting.remove(member)
                statuses[member.name] = _USER
                bars.end(member.name)
                bars.write(f"{member.name}: not trained, as it starts from {after[member.name]}")
            ready = [one for one in waiting if after.get(one.name) not in names or after[one.name] in statuses]
            waiting = [one for one in waiting if one not in ready]
            logs = {one.name: run.member_folder(one.name) / "train.log" for one in ready}
            trainings = [_Training(one, logs[one.name]) for one in ready]
            _train_wave(run, trainings, replace(options, stop=stop), bars)
            statuses |= {one.member.name: _BUG if one.status is None else one.status for one in trainings}
    return statuses


def _train_wave(run: Run, trainings: Sequence[_Training], options: TrainOptions, bars: Bars) -> None:
    """Train members that wait for no other one."""
    turns, shared = Turns([one.member.name for one in trainings]), SharedBatches()
    threads = []
    for one in trainings:
        bars.write(f"{one.member.name}: training together, log: {one.log}")
        arguments = (run, one, turns, shared, options)
        threads.append(threading.Thread(target=_train_in_turns, args=arguments, name=one.member.name, daemon=True))
    for thread in threads:
        thread.start()
    running, described = list(zip(trainings, threads, strict=True)), False
    while running:
        for one, thread in list(running):
            if one.status is None and one.share:
                bars.report(one.member.name, one.share)
            if not thread.is_alive():
                running.remove((one, thread))
                bars.end(one.member.name)
                bars.write(one.line)
        if not described and all(one.kind is not None or one.status is not None for one in trainings):
            described = True
            for line in describe_sharing(
                {one.member.name: one.kind or "" for one in trainings if one.kind is not None}
            ):
                bars.write(line)
        time.sleep(_POLL)


def describe_sharing(kinds: Mapping[str, str]) -> list[str]:
    """Say which members learn from the same batches.

    >>> describe_sharing({"leaf": "a", "coarse": "a", "minority": "b"})
    ['leaf, coarse: each batch is read and varied once for all of them', 'minority: has batches of its own']
    """
    groups: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        groups.setdefault(kind or f" {name}", []).append(name)
    lines = [
        f"{', '.join(names)}: each batch is read and varied once for all of them"
        for names in groups.values()
        if len(names) > 1
    ]
    alone = [names[0] for names in groups.values() if len(names) == 1]
    if alone:
        verb = "has batches of its own" if len(alone) == 1 else "have batches of their own"
        advice = (
            "" if lines or len(alone) < 2 else "; with training.data_seed: 0, members share the order and variation"
        )
        lines.append(f"{', '.join(alone)}: {verb}{advice}")
    return lines


def _train_in_turns(run: Run, training: _Training, turns: Turns, shared: SharedBatches, options: TrainOptions) -> None:
    """Train one member in this thread, in its turns; note how it ended."""
    name = training.member.name

    def tell_kind(kind: str) -> None:
        training.kind = kind if training.kind is None else training.kind

    def tell_share(share: float) -> None:
        training.share = share

    status = _BUG
    try:
        training.log.parent.mkdir(parents=True, exist_ok=True)
        training.log.unlink(missing_ok=True)  # a link is removed, and what it leads to is not written to
        with training.log.open("x", encoding="utf-8", buffering=1) as log:
            _LOGS.log = log
            turns.wait(name, (0, 0))
            if options.stop is not None and options.stop.requested:
                raise Interrupted
            seat = Seat(name, turns, shared, tell_kind)
            plan = plan_training(run, training.member)
            training.line = train_member(plan, replace(options, report=tell_share, join=seat.join))
            print(training.line, file=log)
            status = _DONE
    except UserError as error:
        training.line, status = f"{name}: error: {error}", _USER
    except Interrupted:
        training.line, status = f"{name}: stopped", _INTERRUPTED
    except BaseException as error:
        if (refused := describe_refusal(error)) is not None:  # by the machine, which may refuse the log, too
            training.line, status = f"{name}: error: {one_line(refused)}", _USER
        else:
            training.line = f"{name}: failed ({type(error).__name__}: {error}); log: {training.log}"
        with suppress(OSError), training.log.open("a", encoding="utf-8") as log:
            traceback.print_exc(file=log)
    finally:
        _LOGS.__dict__.clear()
        training.status = status
        turns.leave(name)


def _check_processes(run: Run, members: Sequence[MemberSettings]) -> None:
    """Refuse members that are trained by several processes."""
    for member in members:
        if (processes := prod(run.recipe.member_training(member).processes)) > 1:
            raise UserError(
                f"--together: '{member.name}' is trained by {processes} processes; set training.devices and "
                "training.nodes to 1, or leave --together out"
            )


_LOGS = threading.local()  # where what a thread prints goes: `log`, if it is a member's


class _ByThread:
    """A stream that writes to the log of the member whose thread prints, and else to where it wrote before."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any of a stream's
        return getattr(getattr(_LOGS, "log", self._stream), name)


@contextmanager
def _logs_by_thread() -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, _ByThread(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
