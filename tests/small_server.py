"""A server on a free port of this machine, in a thread, and someone who asks it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from ensemble_run import MeanOfPixels, SmallRun

from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.members.scorer import Scorer
from hpa_hier.predict import predictor as predicting
from hpa_hier.runs.run import Run
from hpa_hier.serve.safety.guard import Doors
from hpa_hier.serve.server import configure
from hpa_hier.serve.service import Plan, Service

_LOAD = predicting.load_scorers
_DRAWN: dict[Path, dict[str, Scorer]] = {}  # folder of a run → what stands for its members


@dataclass(frozen=True)
class Running:
    """The server, and a client of it."""

    service: Service
    client: httpx.Client
    port: int

    def finish(self, job: Mapping[str, Any], seconds: float = 60) -> dict[str, Any]:
        """Wait until a job is over, and return what is known of it."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            found: dict[str, Any] = self.client.get(f"/jobs/{job['job']}").json()
            if found["state"] in ("done", "failed", "cancelled"):
                return found
            time.sleep(0.02)
        raise AssertionError(f"not over: {found}")

    def send(self, files: Mapping[str, bytes], wait: float = 60, **fields: str) -> httpx.Response:
        """Send files in one form."""
        parts = [("files", (name, content)) for name, content in files.items()]
        return self.client.post("/predict", params={"wait": wait}, files=parts, data=fields)

    def talk(self, text: bytes, seconds: float = 20) -> bytes:
        """Send bytes as they are, and return all that comes back until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as line:
            line.sendall(text)
            answer = b""
            while piece := line.recv(65536):
                answer += piece
        return answer


@contextmanager
def run_server(plan: Plan, doors: Doors | None = None) -> Iterator[Running]:
    """Serve until the block ends."""
    service = Service(plan)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    doors = doors or Doors()
    server = uvicorn.Server(configure(service, doors))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    headers = {"Authorization": f"Bearer {doors.token}"} if doors.token else {}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            yield Running(service, client, port)
    finally:
        server.should_exit = True
        thread.join(20)
        service.stop()
        listening.close()


@contextmanager
def without_networks(run: SmallRun) -> Iterator[None]:
    """Let a small run's members say what they were drawn to say, whatever the images; there is nothing to load."""
    folder = run.folder.resolve()
    _DRAWN[folder] = {name: MeanOfPixels(scores) for name, scores in run.members.items()}
    predicting.load_scorers = _load_drawn
    try:
        yield
    finally:
        del _DRAWN[folder]
        if not _DRAWN:
            predicting.load_scorers = _LOAD


def _load_drawn(run: Run, ensemble: Ensemble, device: str, engine: str) -> Mapping[str, Scorer]:
    """Load the members of every other run as they are: the server outlives the tests of its room."""
    return _DRAWN.get(run.folder.resolve()) or _LOAD(run, ensemble, device, engine)


def encode(plane: np.ndarray, suffix: str = ".png") -> bytes:
    """Return a picture as a file's content."""
    import cv2

    return bytes(cv2.imencode(suffix, plane)[1])


def read_folder(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
