"""Children: the other processes of this machine, started with this one's command and watched while they run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from hpa_hier.places.signals import wake_with_parent
from hpa_hier.training.processes.address import Address
from hpa_hier.training.processes.place import STARTED_BY, Place

_POLL = 0.1  # seconds between two looks at the processes
INTERRUPTED = 130  # exit status of a process that was asked to stop, and has saved


class Children:
    """The processes that this one starts: those after it on its machine.

    Args:
        words: of `hpa-hier train`, which each of them repeats.
        place: of this process.
        count: processes of a machine.
        address: where the first process of all listens.
        lost: is called, in a thread, with what became of a process that ended too early.
    """

    def __init__(
        self, words: Sequence[str], place: Place, count: int, address: Address, lost: Callable[[str], None]
    ) -> None:
        self._lost, self._closing = lost, False
        command = [sys.executable, "-m", "hpa_hier.train", *words]
        shared = {
            "WORLD_SIZE": place.world,
            "LOCAL_WORLD_SIZE": count,
            "MASTER_ADDR": address.host,
            "MASTER_PORT": address.port,
            STARTED_BY: os.getpid(),
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for local in range(1, count):
            one = Place(place.rank + local, place.world, local, place.node)
            own = {**shared, "RANK": one.rank, "LOCAL_RANK": local}
            variables = {**os.environ, **{name: str(value) for name, value in own.items()}}
            self._processes[one.describe()] = subprocess.Popen(command, env=variables)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._closing:
            for name, process in self._processes.items():
                if process.poll() not in (None, 0, INTERRUPTED) and not self._closing:
                    self._closing = True
                    self._lost(f"{name} {describe_end(process.returncode)}")
            time.sleep(_POLL)

    def close(self, seconds: float) -> None:
        """Wait until all have ended, and end those that take longer; at Ctrl-C, all at once."""
        self._closing = True
        deadline = time.monotonic() + seconds
        try:
            for process in self._processes.values():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
        finally:
            for process in self._processes.values():
                process.kill()  # nothing where it has ended


def describe_end(status: int) -> str:
    """Say how a process ended, by its exit status.

    >>> describe_end(-9), describe_end(1)
    ('was killed by SIGKILL', 'failed with status 1')
    """
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"failed with status {status}"


def watch_parent(lost: Callable[[str], None]) -> None:
    """Call `lost`, in a thread, when the process that started this one is gone; nothing where none did."""
    parent = os.environ.get(STARTED_BY, "")

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(_POLL)
        lost("the process that started it is gone")

    if parent.isdecimal():
        wake_with_parent()
        threading.Thread(target=watch, daemon=True).start()
