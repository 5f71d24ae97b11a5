"""Shards on a place: the command that computes free shards, run by each of its workers until none is free."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from hpa_hier.errors import UserError
from hpa_hier.places.command import Command, Ended, Lease, run_command
from hpa_hier.places.place import Place

_LOOK = 0.5  # seconds between two looks at what is done


def compute_on_place(words: Sequence[str], folder: Path, place: Place, look: Callable[[], object]) -> None:
    """Have all workers of a place run a command, each again where its process is killed.

    Args:
        words: a module and its arguments: a prediction with --worker.
        folder: that the prediction shares, which gets a log for each worker.
        place: opened.
        look: is called again and again meanwhile.

    Raises:
        UserError: a worker's command ended with an error, or its worker died again and again.
    """
    with Lease(folder) as lease:
        ends: list[tuple[Path, Future[Ended]]] = []
        for number in range(place.workers):
            log = folder / f"worker-{number}.log"
            one = Command(tuple(words), str(Path.cwd()), str(log.absolute()), str(lease.path.absolute()))
            ends.append((log, place.submit(run_command, one, f"worker {number + 1}")))
        try:
            while not all(ended.done() for _, ended in ends):
                look()
                time.sleep(_LOOK)
            for log, ended in ends:
                if ended.result().status:
                    raise UserError(
                        f"--backend {place.name}: a worker on {ended.result().host} ended with an error: "
                        f"{ended.result().line}; {log} has all of it"
                    )
        finally:
            for _, ended in ends:
                place.cancel(ended)
