"""Adapting: `ensemble adapt` as a process of its own, with what it prints, and a way to stop it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from hpa_hier.places.child import start_child
from hpa_hier.places.processor import one_thread
from hpa_hier.serve.safety.refusal import Refusal, one_line

_LINES = 200  # that are kept
_GRACE = 5.0  # seconds between asking it to end and ending it


class Adapting:
    """At most one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._about: dict[str, Any] = {"state": "none"}
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._began = self._ended = 0.0

    def start(self, ensemble: str, line: str, out: Path, done: Callable[[Path], None]) -> None:
        """Start a command as it is printed for people; it stops where this process ends, by whatever signal.

        Args:
            ensemble: its name.
            line: the command, `python -m` with a module and its arguments.
            out: folder of the run that it makes.
            done: is told this folder where it was made.

        Raises:
            Refusal: one is running.
        """
        with self._lock:
            if self._about["state"] == "running":
                raise Refusal("conflict", "an ensemble is being adapted already; wait for it, or cancel it")
            python, flag, *words = shlex.split(line)
            assert (python, flag) == ("python", "-m")
            printed, log = os.pipe()
            told = os.fdopen(printed, encoding="utf-8", errors="replace")
            try:
                self._process = start_child(words, one_thread() | os.environ | {"PYTHONUNBUFFERED": "1"}, log=log)
            except OSError:
                told.close()
                raise
            finally:
                os.close(log)
            self._lines.clear()
            self._about = {
                "state": "running",
                "ensemble": ensemble,
                "out": out.name,
                "command": line,
                "error": None,
                "result": None,
            }
            self._began = time.monotonic()
            threading.Thread(target=self._follow, args=(self._process, told, out, done), daemon=True).start()

    def to_json(self) -> dict[str, Any]:
        """Return how far it is; see `GET /adapt`."""
        with self._lock:
            if self._about["state"] == "none":
                return dict(self._about)
            ends = time.monotonic() if self._about["state"] == "running" else self._ended
            return {**self._about, "seconds": round(ends - self._began, 1), "lines": list(self._lines)}

    def cancel(self) -> None:
        """Stop the process, first as Ctrl-C does, so that it removes what it began."""
        with self._lock:
            process = self._process
            if process is None or self._about["state"] != "running":
                return
            self._about["state"] = "cancelled"
            self._ended = time.monotonic()
        for sign in (signal.SIGINT, signal.SIGTERM):
            with suppress(OSError):
                process.send_signal(sign)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
                return
        process.kill()
        process.wait()

    def _follow(
        self, process: subprocess.Popen[bytes], printed: TextIO, out: Path, done: Callable[[Path], None]
    ) -> None:
        with printed:
            for line in printed:
                told = one_line(line)
                if told:
                    with self._lock:
                        self._lines.append(told)
        status = process.wait()
        if status == 0 and out.is_dir():
            done(out)
        with self._lock:
            if self._process is not process or self._about["state"] != "running":
                return
            self._ended = time.monotonic()
            if status == 0:
                self._about |= {"state": "done", "result": out.name}
            else:
                errors = [line for line in self._lines if line.startswith("error: ")]
                told = (errors or list(self._lines) or [f"it ended with status {status}"])[-1]
                self._about |= {"state": "failed", "error": told.removeprefix("error: ")}
