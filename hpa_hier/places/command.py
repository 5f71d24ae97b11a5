"""Commands on workers: a child process with its own log, which saves and stops when the one who asked for it does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from hpa_hier.files.faults.leftovers import name_temporary, sweep
from hpa_hier.places.call import WorkerLost
from hpa_hier.places.child import EXIT_INTERRUPTED, start_child
from hpa_hier.places.processor import one_thread

_BEAT = 5.0  # seconds between two signs of life of the process that asks
_PATIENCE = 120.0  # seconds without one after which that process is taken for dead
_LOOK = 2.0  # seconds between two looks for it
SAVING = 120.0  # seconds for a command to save and stop, before it is killed
AT_ONCE = 3 * _LOOK  # seconds in which all commands have ended that are to stop at once
_WAIT = 300.0  # seconds for another process to let go of what the command works on
_POLL = 0.1
_LEASE = "lease"
_ON, _STOP, _AT_ONCE = range(3)  # what is wished of a command


@dataclass(frozen=True)
class Command:
    """A command that is resumed where it is run again: `python -m` and these words.

    Attributes:
        words: a module and its arguments.
        folder: where it runs.
        log: file that takes all it prints.
        lock: file that it locks, which a dying predecessor may hold for some seconds; None: none.
        lease: file of `Lease` of the process that asks.
        once: words for a first start only, as --restart.
        begun: files that tell a first start from a later one, each with its time of change, in ns; 0: absent.
    """

    words: tuple[str, ...]
    folder: str
    log: str
    lease: str
    lock: str | None = None
    once: tuple[str, ...] = ()
    begun: tuple[tuple[str, int], ...] = ()


class Ended(NamedTuple):
    """How a command ended, and where."""

    status: int  # of the exit, 130: stopped, with everything saved
    line: str  # the last that it printed
    host: str


class Lease:
    """A file that tells workers anywhere that this process lives and wants its commands to run on; a context.

    Its removal, or two minutes without a touch, has them save and stop; a word in it, stop at once.
    """

    def __init__(self, folder: Path) -> None:
        self.path = name_temporary(folder / _LEASE)  # which is removed where this process was killed
        self._end = threading.Event()

    def __enter__(self) -> Lease:
        sweep(self.path.parent, _LEASE)  # of dead processes, whose commands are to stop
        self.path.touch()
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Have all commands save and stop."""
        self._end.set()
        self.path.unlink(missing_ok=True)

    def end_at_once(self) -> None:
        """Have all commands killed, which resume from what they have saved."""
        self._end.set()
        self.path.write_text("at once", encoding="utf-8")

    def _beat(self) -> None:
        while not self._end.wait(_BEAT):
            with suppress(OSError):
                os.utime(self.path)


def change_times(paths: tuple[Path, ...]) -> tuple[tuple[str, int], ...]:
    """Return when each file was changed, in ns; 0 where it is absent."""
    return tuple((str(path), path.stat().st_mtime_ns if path.exists() else 0) for path in paths)


def run_command(command: Command) -> Ended:
    """Run a command on this machine, until it ends or whoever asked for it wants it to stop.

    Raises:
        WorkerLost: it was killed, or stopped by another than who asked.
    """
    host, watch = socket.gethostname(), _Watch(Path(command.lease))
    with Path(command.log).open("a", encoding="utf-8") as log:
        if command.lock and not _wait_for(Path(command.lock), watch):
            return Ended(EXIT_INTERRUPTED, "stopped", host)
        first = change_times(tuple(Path(path) for path, _ in command.begun)) == command.begun
        with _child([*command.words, *(command.once if first else ())], command.folder, log.fileno()) as child:
            stopped = 0.0  # since when
            while child.poll() is None:
                wish = watch.look()
                if wish != _ON and not stopped:
                    stopped = time.monotonic()
                    child.terminate()
                if wish == _AT_ONCE or (stopped and time.monotonic() - stopped > SAVING):
                    child.kill()
                time.sleep(_POLL)
    line = _last_line(Path(command.log))
    if stopped:
        return Ended(EXIT_INTERRUPTED if child.returncode else 0, line, host)
    if child.returncode in (EXIT_INTERRUPTED, -signal.SIGTERM):
        raise WorkerLost(f"it was stopped on {host}")
    if child.returncode < 0:
        raise WorkerLost(f"its process was killed on {host} by {signal.Signals(-child.returncode).name}")
    return Ended(child.returncode, line, host)


class _Watch:
    """Looks now and then whether who asked still wants the command."""

    def __init__(self, lease: Path) -> None:
        self._lease, self._looked, self._touched = lease, 0.0, 0
        self._alive, self._wish = time.monotonic(), _ON

    def look(self) -> int:
        """Return whether the command is to go on, to save and stop, or to stop at once."""
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return self._wish
        self._looked = now
        try:
            found = self._lease.stat()
        except FileNotFoundError:
            self._wish = _STOP
            return self._wish
        except OSError:  # a file server that pauses
            pass
        else:
            if found.st_size:
                self._wish = _AT_ONCE
                return self._wish
            if found.st_mtime_ns != self._touched:
                self._touched, self._alive = found.st_mtime_ns, now
        self._wish = _STOP if now - self._alive > _PATIENCE else _ON
        return self._wish


def _wait_for(path: Path, watch: _Watch) -> bool:
    """Wait until nobody holds a lock, or for some minutes; return whether the command is still wanted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + _WAIT
    while time.monotonic() < until:
        if watch.look() != _ON:
            return False
        with suppress(Timeout), FileLock(path, timeout=0):
            return True
        time.sleep(_POLL)
    return True  # the command itself tells who holds it


@contextmanager
def _child(words: list[str], folder: str, log: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that stops with this one, or when this is left."""
    child = start_child(words, _environment(), folder, log)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(SAVING)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if child.stdin:
            child.stdin.close()


def _environment() -> dict[str, str]:
    """Return this process's environment, in which the package is found where this process has found it.

    Where it says nothing of threads it says one: commands work side by side on a machine.
    """
    found, named = Path(__file__).resolve().parents[2], one_thread() | os.environ
    if found.name in ("site-packages", "dist-packages"):
        return named
    paths = (str(found), os.environ.get("PYTHONPATH", ""))
    return {**named, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "its log is empty"
