"""The web page's server as a process of its own, what is sent to it, and whether what comes back is an answer."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults.world import World

IDLE = 3  # seconds that the server waits for the next piece of a request
_PATIENCE = 40.0  # seconds until an answer or an end must have come
LIMITS: dict[str, Any] = {
    **{"files": 40, "file_bytes": "2m", "form_bytes": "8m", "job_bytes": "16m", "json_bytes": "64k"},
    **{"header_bytes": "16k", "idle_seconds": IDLE, "form_seconds": 20, "seconds_per_image": 10, "kept_jobs": 20},
    **{"job_images": 60, "clients_jobs": 40, "jobs": 60, "queue": 64, "decode_bytes": "1g"},
}
STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
_FAULTS = ("Traceback (most recent call last)", "ERROR")


@dataclass
class Served:
    """A running server."""

    process: subprocess.Popen[str]
    port: int
    log: Path
    root: Path  # folder whose images may be named
    token: str | None
    images: dict[str, bytes]  # files of one image
    files: frozenset[Path]  # that were there before it, and its log
    status: int | None = None  # of its exit, once it was stopped
    left: tuple[Path, ...] = ()  # files of what was sent that were there after it
    _read: int = field(default=0)

    def connect(self, seconds: float = _PATIENCE) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=seconds)

    def talk(self, text: bytes, finish: bool = False) -> bytes:
        """Send bytes, `finish` says that no more comes; return what comes back until the server closes."""
        with self.connect() as line:
            with suppress(OSError):  # it has refused before all was sent
                line.sendall(text)
                if finish:
                    line.shutdown(socket.SHUT_WR)
            return drain(line)

    def is_well(self, seconds: float = 30.0) -> bool:
        """Tell whether it still answers."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and self.process.poll() is None:
            with suppress(OSError):
                if b'"status":"ok"' in self.talk(request("GET", "/healthz")):
                    return True
            time.sleep(0.2)
        return False

    def new_faults(self) -> str:
        """Return what the log says since the last look, where it has a fault of the program."""
        text = self.log.read_text(errors="replace")
        text, self._read = text[self._read :], len(text)
        return text[-600:] if any(one in text for one in _FAULTS) else ""

    def find_strays(self) -> list[Path]:
        """Return files that came where nothing of what is sent may be kept."""
        home = self.log.parent
        inside = (home / "tmp", home / "corrections", home / "artifacts")
        return [path for path in _list(home) if path not in self.files and not {*inside} & {*path.parents}]

    def settle(self) -> float:
        """Wait until it holds as much as two seconds before, as when all is loaded, and return what that is, in MB."""
        before, now = 0.0, self.held()
        while abs(now - before) > 1:
            time.sleep(2)
            before, now = now, self.held()
        return now

    def held(self) -> float:
        """Return what the server and its processes hold, in MB."""
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        started = [int(one) for path in children for one in path.read_text().split()]
        total = 0
        for process in (self.process.pid, *started):
            with suppress(OSError):
                lines = Path(f"/proc/{process}/status").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
        return total / 1024


@contextmanager
def serve(world: World, scratch: Path, token: str | None = None) -> Iterator[Served]:
    """Serve the world's ensemble until the block ends."""
    root, log, sent = scratch / "plates", scratch / "serve.log", scratch / "tmp"
    for folder in (root, scratch / "outside", sent):
        folder.mkdir(parents=True)
    first = sorted(world.new.glob("s0000_*"))
    for path in first:
        (root / path.name).write_bytes(path.read_bytes())
        (scratch / "outside" / path.name).write_bytes(path.read_bytes())
    (root / "link").symlink_to(scratch / "outside")
    (root / "loop_green.png").symlink_to("loop_green.png")
    os.mkfifo(root / "pipe_green.png")
    words = ["serve", "--port", "0", "--run", str(world.run), "--root", str(root), "--device", "cpu"]
    words += ["--corrections", str(scratch / "corrections"), "--artifacts", str(scratch / "artifacts")]
    words += [word for name, value in LIMITS.items() for word in ("--limit", f"{name}={value}")]
    words += ["--token", token] if token else []
    with log.open("w") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "hpa_hier", *words],
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
            cwd=scratch,
            env={**os.environ, "TMPDIR": str(sent)},
        )
    assert process.stdout is not None
    served: Served | None = None
    try:
        line = process.stdout.readline()
        assert line.startswith("listening at "), line + log.read_text()
        port = int(line.split()[2].rstrip("/;").rpartition(":")[2])
        images = {path.name: path.read_bytes() for path in first}
        served = Served(process, port, log, root, token, images, frozenset(_list(scratch)))
        yield served
    finally:
        process.send_signal(signal.SIGINT)
        try:
            status = process.wait(30)
        finally:
            process.kill()
    served.status, served.left = status, tuple(_list(sent))


def _list(folder: Path) -> list[Path]:
    """Return all files below a folder; links are not followed."""
    return [Path(top) / name for top, _, names in os.walk(folder) for name in names]


def drain(line: socket.socket) -> bytes:
    """Return all that comes until the other side closes; b"?" in front where it neither answers nor closes."""
    answer = b""
    try:
        while piece := line.recv(1 << 16):
            answer += piece
    except TimeoutError:
        return b"?" + answer
    except OSError:
        pass  # it closed while more was coming
    return answer


def request(method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
    """Return a request; its length is said unless a header says another."""
    named = {"Host": "localhost", "Connection": "close"}
    if body is not None:
        named["Content-Length"] = str(len(body))
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items() if value)]
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + (body or b"")


def form(files: Sequence[tuple[bytes, bytes]], boundary: bytes = b"edge") -> bytes:
    """Return a form's body: a part for each name, as it stands in the header, and its content."""
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="files"; filename="%b"\r\n\r\n%b\r\n' % (boundary, name, content)
        for name, content in files
    ]
    return b"".join(parts) + b"--%b--\r\n" % boundary


def post_form(body: bytes, path: str = "/predict?wait=20", **headers: str) -> bytes:
    named = {"Content_Type": "multipart/form-data; boundary=edge", **headers}
    return request("POST", path, body, **named)


def is_answer(answer: bytes, may_close: bool) -> bool:
    """Tell whether something is an answer or a refusal in one line of JSON, or nothing where the server may close."""
    if answer.startswith(b"?"):
        return False
    if not answer:
        return may_close
    head, _, body = answer.partition(b"\r\n\r\n")
    found = STATUS.match(head)
    if not found or b"Traceback" in answer or b"HTTP/1.1 500" in answer:
        return False
    status = int(found[1])
    if status < 400 or not body or STATUS.search(body):
        return True
    try:
        told = json.loads(body)
    except ValueError:
        return False
    return body.count(b"\n") <= 1 and told["status"] == status and {*told} == {"error", "code", "status"}
