"""Steps: commands that are run one after the other, each as a person would type it, with the time left.

They end with this process, however it ends: what Ctrl-C or SIGTERM tells it, it tells the command of the step.
"""

from __future__ import annotations

import math
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from hpa_hier.cli.command import EXIT_INTERRUPTED
from hpa_hier.errors import UserError
from hpa_hier.files.faults.begun import is_finished
from hpa_hier.places.child import start_child
from hpa_hier.places.command import AT_ONCE, SAVING
from hpa_hier.places.processor import environment_as_found


@dataclass(frozen=True)
class Step:
    """One command of the way."""

    title: str  # what it does
    line: str  # the command, as a person would type it
    output: Path | None  # the file that shows that it is finished; None where the command knows what is left to do
    seconds: float  # what it is expected to take, for the time left
    may_end_with: tuple[int, ...] = (0,)  # exit statuses with which the way goes on
    until: float | None = None  # time.monotonic() at which it is asked to save and stop, and the way goes on


_POLL = 0.05  # seconds between two looks at a command
_PATIENCE = AT_ONCE + 1.0  # seconds after a second signal before a command is killed, which needs some itself
_SURE = 30.0  # seconds of steps after which the pace so far counts half in what is expected of the rest


def run_steps(steps: Sequence[Step], before: int = 0, later: Sequence[Step] = ()) -> None:
    """Run every step that is not finished.

    Args:
        steps: in order.
        before: how many the way has had already.
        later: that will follow, for their number and the time left.

    Raises:
        UserError: a step has failed; its own message is above.
        KeyboardInterrupt: this process was asked to stop; the step has had the time to save.
    """
    began, expected = time.monotonic(), 0.0
    total = before + len(steps) + len(later)
    for place, step in enumerate(steps):
        head = f"== step {before + place + 1} of {total}: {step.title}"
        if step.output is not None and is_finished(step.output):
            print(f"{head}: finished already ({step.output})", flush=True)
            continue
        pace = (time.monotonic() - began + _SURE) / (expected + _SURE)
        left = describe_time_left(pace * sum(one.seconds for one in (*steps[place:], *later)))
        print(f"{head}, {left}\n$ {step.line}", flush=True)
        _perform(step)
        expected += step.seconds


def describe_time_left(seconds: float) -> str:
    """Say how long the rest will take.

    >>> describe_time_left(200.0), describe_time_left(20.0), describe_time_left(9000.0)
    ('about 3 min left', 'less than a minute left', 'about 2 h 30 min left')
    """
    return f"{describe_duration(seconds)} left"


def describe_duration(seconds: float) -> str:
    """Say how long something takes, roughly.

    >>> describe_duration(89.0), describe_duration(3600.0)
    ('about 1 min', 'about 1 h 0 min')
    """
    if seconds < 60:
        return "less than a minute"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 60 else f"about {minutes // 60} h {minutes % 60} min"


def _perform(step: Step) -> None:
    """Run a step's command; when this process is to stop, so is the command, and it gets the time to save."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    handled = [one for one in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(one) is not signal.SIG_IGN]
    before = {one: signal.signal(one, note) for one in handled}
    try:
        status, late = _follow(start_child(_list_words(step), environment_as_found()), step.until, received)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    if received or (not late and status in (EXIT_INTERRUPTED, -signal.SIGINT)):
        raise KeyboardInterrupt
    if not late and status not in step.may_end_with:
        end = f"the step '{step.title}' ended with status {status}"
        raise UserError(f"{end}; fix what it says above, then run this again")


def _follow(child: subprocess.Popen[bytes], until: float | None, received: Sequence[int]) -> tuple[int, bool]:
    """Wait for the end of a command, and pass on what this process receives meanwhile.

    Args:
        child: the command's process.
        until: time.monotonic() at which it is asked to save and stop.
        received: signals so far; more are added while this runs.

    Returns:
        How it ended, and whether it was asked to for being late.
    """
    late, passed_on, kill_at = False, 0, math.inf
    late_at = math.inf if until is None else max(until, time.monotonic() + 1.0)
    try:
        while child.poll() is None:
            now = time.monotonic()
            if len(received) > passed_on:
                passed_on = len(received)
                child.send_signal(received[0] if passed_on == 1 else signal.SIGTERM)
                if passed_on > 1:
                    kill_at = now + (_PATIENCE if passed_on == 2 else 0)
            elif not late and now >= late_at:
                late, kill_at = True, min(kill_at, now + SAVING)
                print("the time limit is reached: stopping here and going on with what is finished", flush=True)
                child.terminate()
            if now >= kill_at:  # one that does not react, as a stopped one
                child.kill()
            time.sleep(_POLL)
    finally:
        if child.stdin is not None:
            child.stdin.close()  # which ends it, were it still there
    return child.returncode, late


def _list_words(step: Step) -> list[str]:
    """Return the module that a step's command runs, and its arguments."""
    python, flag, *words = shlex.split(step.line)
    assert (python, flag) == ("python", "-m"), step.line
    return words
