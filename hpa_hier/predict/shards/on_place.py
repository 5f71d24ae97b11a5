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


def compute_on_place(words: Sequence[str], folder: Path, place: Place, look: Callable[[], int]) -> None:
    """Have workers of a place run a command until nothing is left, each again where its process is killed.

    Args:
        words: a module and its arguments: a prediction with --worker.
        folder: that the prediction shares, which gets a log for each worker.
        place: opened.
        look: is asked again and again how many shards are left. No more workers than these are asked for, and none is
            waited for when there are no more: a cluster may be busy with others for hours.

    Raises:
        UserError: shards are left when all workers have ended, of which one ended with an error or died again and
            again.
    """
    with Lease(folder) as lease:
        ends: list[tuple[Path, Future[Ended]]] = []
        for number in range(min(place.workers, look())):
            log = folder / f"worker-{number}.log"
            one = Command(tuple(words), str(Path.cwd()), str(log.absolute()), str(lease.path.absolute()))
            ends.append((log, place.submit(run_command, one, f"worker {number + 1}")))
        try:
            while left := look():
                if all(ended.done() for _, ended in ends):
                    break
                time.sleep(_LOOK)
            for log, ended in ends if left else ():
                if ended.result().status:
                    raise UserError(
                        f"--backend {place.name}: a worker on {ended.result().host} ended with an error: "
                        f"{ended.result().line}; {log} has all of it"
                    )
        finally:
            for _, ended in ends:
                place.cancel(ended)
