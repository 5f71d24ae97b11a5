"""Commands that are started and not waited for, and all processes that they start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import process as children
from multiprocessing import util
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from faults.forked import perform

_MARK = "HPA_HIER_FAULTS"  # variable that every process of a started command has in its environment
_POLL = 0.01


class Process(NamedTuple):
    """A process that a command has started, or the command itself."""

    number: int
    parent: int
    command: str
    forked: bool  # whether from another process with the same command line


@dataclass
class Started:
    """A command that runs, in a session of its own.

    Attributes:
        number: of its process.
        mark: what its processes have in their environment.
        output: file that takes all it prints.
        status: how it ended; negative: the signal; None: it runs.
    """

    number: int
    mark: str
    output: Path
    status: int | None = None

    def poll(self) -> int | None:
        """Return how it ended; None while it runs."""
        if self.status is None:
            ended, status = os.waitpid(self.number, os.WNOHANG)
            if ended:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def wait(self, seconds: float) -> int | None:
        """Wait so long for its end; return how it ended, None where it has not."""
        until = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < until:
            time.sleep(_POLL)
        return self.status

    @property
    def text(self) -> str:
        """What it has printed."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    def list_processes(self) -> list[Process]:
        """List the processes that it has started and that have not ended."""
        found: dict[int, tuple[int, str]] = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal() and int(folder.name) not in (self.number, os.getpid()):
                with suppress(OSError, IndexError):
                    state, parent, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                    own = int(session) == self.number or self.mark.encode() in (folder / "environ").read_bytes()
                    if own and state not in "ZX":
                        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                        found[int(folder.name)] = int(parent), command.strip()
        return [
            Process(number, parent, command, forked=found.get(parent, (0, ""))[1] == command)
            for number, (parent, command) in found.items()
        ]

    def wait_for_processes(self, seconds: float) -> list[Process]:
        """Wait so long for the end of all processes that it has started; return those that are left."""
        until = time.monotonic() + seconds
        while (left := self.list_processes()) and time.monotonic() < until:
            time.sleep(0.1)
        return left

    def kill_all(self) -> None:
        """Kill what is left of it."""
        for process in self.list_processes():
            with suppress(ProcessLookupError):
                os.kill(process.number, signal.SIGKILL)
        if self.poll() is None:
            os.kill(self.number, signal.SIGKILL)
            self.wait(60)


def start(words: Sequence[object], output: Path, *, fork: bool, at: Path | None = None) -> Started:
    """Start a command.

    Args:
        words: as in `hpa-hier WORDS`.
        output: file that takes all it prints.
        fork: whether from this process, which has imported everything; else as a user does, with seconds of imports.
        at: the folder that it runs in.
    """
    mark = uuid4().hex
    typed = [str(word) for word in words]
    with output.open("wb") as file:
        if not fork:
            child = subprocess.Popen(
                [sys.executable, "-m", "hpa_hier", *typed], stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=at,
                start_new_session=True, env={**os.environ, _MARK: mark},
            )  # fmt: skip
            child.returncode = 0  # waited for by `Started`
            return Started(child.pid, mark, output)
        sys.stdout.flush()
        sys.stderr.flush()
        number = os.fork()
        if not number:
            status = 1

            def settle() -> None:
                os.setsid()
                os.environ[_MARK] = mark
                children._children = set()  # those of this process's parent are not waited for, nor ended
                util._finalizer_registry.clear()

            try:
                status = perform(typed, file.fileno(), settle, at)
                threading._shutdown()  # as Python does at its end; what pytest wants to be done at its end is left out
                util._exit_function()
            finally:
                os._exit(status)  # and never back into the tests
        return Started(number, mark, output)
