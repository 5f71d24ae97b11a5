"""Commands of the program in forked children of this process, which has imported everything."""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

_COMMANDS = ("data", "train", "ensemble", "report", "taxonomy", "members", "recipe", "run", "main")
_HEAVY = (
    *("cli.data.work", "training.train_member", "predict.fit_run", "predict.predictor", "predict.tables"),
    *("evaluate.compute", "evaluate.report.write", "evaluate.figures.table", "data.balance.tables", "simulate.write"),
    *("runs.start", "training.bars", "members.tta", "members.heat_map", "members.features"),
    *("ensemble.novelty.image_statistics", "predict.export.folder", "training.together.train", "cli.ensemble.export"),
)
_LIBRARIES = (
    "networkx",
    "captum.attr",
    "sklearn.linear_model",
    "sklearn.metrics",
    "sklearn.model_selection",
    "pyarrow",
)
HUNG = 999  # status of a command that did not end in time


class Outcome(NamedTuple):
    """How a command ended."""

    status: int  # exit status; negative: the signal that ended it
    text: str  # standard output and error
    seconds: float = 0.0  # of processor time, its own and of the processes that it waited for

    @property
    def last(self) -> str:
        """Its last line."""
        return (self.text.strip().splitlines() or [""])[-1]

    @property
    def traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.text

    @property
    def refused(self) -> bool:
        """Whether it ended as at a user's mistake: status 2 and one error of one or two lines."""
        errors = self.text.count("\nerror: ") + self.text.startswith("error: ")
        return self.status == 2 and errors == 1 and not self.traceback


def preload() -> None:
    """Import what commands import, so that each child need not, and leave it to no child to collect or copy it.

    OpenCV begins no threads here, for which a child would wait in vain as it sets their number.
    """
    import cv2

    cv2.setNumThreads(1)
    for name in (*(f"hpa_hier.cli.{name}" for name in _COMMANDS), *(f"hpa_hier.{name}" for name in _HEAVY)):
        importlib.import_module(name)
    for name in _LIBRARIES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def run(
    *words: object, before: Callable[[], None] | None = None, at: Path | None = None, timeout: float = 240.0
) -> Outcome:
    """Run a command as `hpa-hier WORDS` does, in a forked child; `before` is called there first, in the folder `at`."""
    return start(*words, before=before, at=at).wait(timeout)


def start(*words: object, before: Callable[[], None] | None = None, at: Path | None = None) -> Child:
    """Start a command as `run` does, and return at once."""
    return _fork(lambda pipe: perform([str(word) for word in words], pipe, before, at))


def _fork(work: Callable[[int], int]) -> Child:
    """Do some work in a child, which gets a pipe to write to and returns its exit status."""
    read, write = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if not process:
        os.close(read)
        status = 1
        try:
            status = work(write)
        finally:
            os._exit(status)  # and never back into the tests
    os.close(write)
    return Child(process, read)


class Child:
    """A forked child, while it runs and after."""

    def __init__(self, process: int, pipe: int) -> None:
        self.process, self._pipe, self._text = process, pipe, bytearray()
        self._status: int | None = None
        self._seconds = 0.0
        self.stopped = False  # whether a signal has stopped it, and it was not let go on
        os.set_blocking(pipe, False)

    def poll(self) -> bool:
        """Look how it is; return whether it has ended."""
        if self._status is None:
            self._read()
            ended, status, used = os.wait4(self.process, os.WNOHANG | os.WUNTRACED)
            if ended and os.WIFSTOPPED(status):
                self.stopped = True
            elif ended:
                self._read()
                os.close(self._pipe)
                self._status, self._seconds = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
        return self._status is not None

    def go_on(self) -> None:
        """Let it go on where it was stopped."""
        if not self.poll():
            self.stopped = False
            os.kill(self.process, signal.SIGCONT)

    def cpu(self) -> float:
        """Return the seconds of processor time that it has taken so far."""
        with suppress(OSError):
            fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return self._seconds

    def wait(self, timeout: float) -> Outcome:
        """Return how it ended; after `timeout` seconds it is killed."""
        end, hung = time.monotonic() + timeout, False
        while not self.poll():
            if time.monotonic() > end and not hung:
                hung = True
                os.kill(self.process, signal.SIGKILL)
            time.sleep(0.002)
        assert self._status is not None
        text = self._text.decode("utf-8", "replace")
        return Outcome(HUNG if hung else self._status, text, self._seconds)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            while piece := os.read(self._pipe, 1 << 16):
                self._text += piece


class Host:
    """A forked child that does one command after the other, which takes a third of the time of a fork for each.

    What a command leaves in memory the next one finds, so no command may keep there what it has read of a file.
    Another child takes its place where it ends.
    """

    def __init__(self) -> None:
        self._process = 0
        self._words: IO[str]
        self._ends: IO[str]

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(self, *words: object, timeout: float = 240.0) -> Outcome:
        """Run a command as `run` does."""
        if not self._process:
            self._start()
        self._words.write(json.dumps([str(word) for word in words]) + "\n")
        self._words.flush()
        soon = bool(select.select([self._ends], [], [], timeout)[0])
        if soon and (line := self._ends.readline()):
            return Outcome(*json.loads(line))
        status = self._end()
        return Outcome(status if soon else HUNG, "")

    def _start(self) -> None:
        (taken, given), (heard, told) = os.pipe(), os.pipe()
        self._process = os.fork()
        if not self._process:
            try:
                os.close(given)
                os.close(heard)
                _perform_all(taken, told)
            finally:
                os._exit(1)
        os.close(taken)
        os.close(told)
        self._words, self._ends = os.fdopen(given, "w"), os.fdopen(heard)

    def _end(self) -> int:
        """End the child; return how it ended, or that it was killed."""
        if not self._process:
            return 0
        os.kill(self._process, signal.SIGKILL)
        _, status = os.waitpid(self._process, 0)
        self._process = 0
        for pipe in (self._words, self._ends):
            with suppress(OSError):
                pipe.close()
        return os.waitstatus_to_exitcode(status)


def _perform_all(words: int, ends: int) -> None:
    """Do the commands that come in, a line each, and tell how each ended and what it printed."""
    with tempfile.TemporaryFile() as printed, os.fdopen(words) as lines, os.fdopen(ends, "w") as answers:
        for line in lines:
            os.ftruncate(printed.fileno(), 0)
            os.lseek(printed.fileno(), 0, os.SEEK_SET)
            status = perform(json.loads(line), printed.fileno(), None, None)
            size = os.lseek(printed.fileno(), 0, os.SEEK_END)
            text = os.pread(printed.fileno(), size, 0).decode("utf-8", "replace")
            answers.write(json.dumps([status, text]) + "\n")
            answers.flush()


def perform(words: list[str], pipe: int, before: Callable[[], None] | None, at: Path | None) -> int:
    """Run a command in this process, a forked one, which then prints to `pipe`; return its exit status."""
    status = 1
    try:
        os.dup2(pipe, 1)
        os.dup2(pipe, 2)
        sys.stdout = io.TextIOWrapper(os.fdopen(os.dup(1), "wb"), encoding="utf-8", line_buffering=True)
        sys.stderr = io.TextIOWrapper(os.fdopen(os.dup(2), "wb"), encoding="utf-8", line_buffering=True)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        if at:
            os.chdir(at)
        sys.argv = ["hpa-hier", *words]
        if before:
            before()
        from hpa_hier.cli.main import main

        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    with suppress(BaseException):
        sys.stdout.flush()
        sys.stderr.flush()
    return status


def call(function: Callable[[], Any], timeout: float = 600.0) -> Any:
    """Return what a function gives in a forked child, as JSON can say it.

    Raises:
        RuntimeError: the child died or was too slow.
    """

    def work(pipe: int) -> int:
        with os.fdopen(pipe, "w", encoding="utf-8") as file:
            try:
                json.dump(["result", function()], file)
            except BaseException:
                json.dump(["raised", traceback.format_exc()], file)
        return 0

    outcome = _fork(work).wait(timeout)
    if outcome.status == 0:
        kind, value = json.loads(outcome.text)
        if kind == "result":
            return value
        raise RuntimeError(value)
    raise RuntimeError(f"a child ended with status {outcome.status}")
