"""Decoder: a process that decodes images, started when it is needed, killed where it takes too long, and replaced."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json
from hpa_hier.places.processor import one_thread

_START_SECONDS = 60  # on a busy machine
_LONGEST = 1 << 16  # bytes of an answer's line
_LARGEST_RESULT = 64 << 20  # bytes


class Undecoded(UserError):  # noqa: N818  (a state of an image)
    """An image that the process could not decode, and why."""


class Decoder:
    """One process; its requests wait for each other."""

    def __init__(self, memory: int) -> None:
        self._memory, self._lock = memory, threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self.replaced = 0  # processes that died or were killed

    def ask(self, op: str, folder: Path, seconds: float, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Let the process do one thing, and return what it found.

        Args:
            op: a name of `decode.WORK`.
            folder: for what it writes.
            seconds: after which it is killed.
            request: what it is told beside.

        Raises:
            Undecoded: it says that the image cannot be read, took too long, or died.
        """
        result = folder / f".{op}-{secrets.token_hex(6)}.json"
        line = json.dumps({"op": op, "result": str(result), **request}).encode() + b"\n"
        with self._lock:
            try:
                answer = self._exchange(line, seconds)
                if "error" in answer:
                    raise Undecoded(str(answer["error"]))
                if result.stat().st_size > _LARGEST_RESULT:
                    raise Undecoded("there is too much in it")
                found: dict[str, Any] = read_json(result)
                return found
            finally:
                result.unlink(missing_ok=True)

    def prepare(self) -> None:
        """Start the process, so that the first request need not wait for it."""
        with self._lock, suppress(OSError, EOFError, TimeoutError, ValueError, Undecoded):
            self._open()

    def stop(self) -> None:
        """Kill the process; none is started any more."""
        self._stopped = True
        process = self._process
        if process is not None:
            with suppress(OSError):
                process.kill()

    def _exchange(self, line: bytes, seconds: float) -> dict[str, Any]:
        process = self._open()
        assert process.stdin is not None
        try:
            process.stdin.write(line)
            process.stdin.flush()
            return self._read(process, seconds)
        except TimeoutError:
            self._replace()
            raise Undecoded(f"took more than {seconds:.0f} s to read; save it smaller, or raise the limit") from None
        except (OSError, EOFError, ValueError):
            self._replace()
            raise Undecoded("could not be decoded: it needs too much memory, or is damaged") from None

    def _open(self) -> subprocess.Popen[bytes]:
        if self._stopped:
            raise Undecoded("the server stops")
        if self._process is None or self._process.poll() is not None:
            environment = {
                name: os.environ[name]
                for name in ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR", "VIRTUAL_ENV")
                if name in os.environ
            }
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hpa_hier.serve.uploads.decode", str(self._memory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment | one_thread(),
                start_new_session=True,  # Ctrl-C is for the server, which ends it
            )
            self._read(self._process, _START_SECONDS)
        return self._process

    def _read(self, process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
        """Read one line, as long as it comes in time."""
        assert process.stdout is not None
        late = threading.Event()

        def kill() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, kill)
        timer.start()
        try:
            line = process.stdout.readline(_LONGEST)
        finally:
            timer.cancel()
        if late.is_set():
            raise TimeoutError
        answer = json.loads(line) if line.endswith(b"\n") else None
        if not isinstance(answer, dict):
            raise EOFError
        return answer

    def _replace(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            self.replaced += 1
            with suppress(OSError):
                process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):
                    if pipe is not None:
                        pipe.close()
