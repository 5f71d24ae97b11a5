"""Steps: commands that are run one after the other, each as a person would type it, with the time left."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from hpa_hier.cli.command import EXIT_INTERRUPTED
from hpa_hier.errors import UserError
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
        if step.output is not None and step.output.exists():
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
    child: subprocess.Popen[bytes] | None = None
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        # The first Ctrl-C of a terminal has reached the command already, and a second signal would end it at once.
        if child is not None and (number == signal.SIGTERM or len(received) > 1):
            child.terminate()

    handled = [one for one in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(one) is not signal.SIG_IGN]
    before = {one: signal.signal(one, stop) for one in handled}
    late = False
    try:
        words = [sys.executable, *shlex.split(step.line)[1:]]  # `python` is this very Python
        child = subprocess.Popen(words, env=environment_as_found())
        if signal.SIGTERM in received:  # while the command was being started
            child.terminate()
        try:
            status = child.wait(None if step.until is None else max(1.0, step.until - time.monotonic()))
        except subprocess.TimeoutExpired:
            late = True
            print("the time limit is reached: stopping here and going on with what is finished", flush=True)
            child.terminate()
            status = child.wait()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    if received or (not late and status in (EXIT_INTERRUPTED, -signal.SIGINT)):
        raise KeyboardInterrupt
    if not late and status not in step.may_end_with:
        end = f"the step '{step.title}' ended with status {status}"
        raise UserError(f"{end}; fix what it says above, then run this again")
