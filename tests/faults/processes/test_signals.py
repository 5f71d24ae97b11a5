"""R10 at full size: signals at random moments of every long command."""

from __future__ import annotations

import random

import pytest
from faults import figures
from faults.processes.moments import LONG, Long, interrupt, slug, undisturbed
from faults.tally import Tally
from faults.world import World

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]
PROMISE = (
    "R10 SIGINT, SIGTERM or a terminal's Ctrl-C at a random moment: it ends within 10 s without a traceback, leaves no "
    "process, and the same command again gives the same result"
)
_MANY = 36
_TRIES = {  # of what starts a cluster, or processes that import everything, or six programs one after the other
    **dict.fromkeys(("train", "data pack", "fit"), 24),
    **dict.fromkeys(("train --all --together", "data simulate", "serve"), 14),
    **dict.fromkeys(("train --all", "export", "evaluate"), 8),
    **dict.fromkeys(("predict --backend loky", "train --all --backend threading", "train --all --backend loky"), 5),
    **dict.fromkeys(("train on two processes", "train --all --backend dask-local", "train --all --backend ray"), 4),
    **dict.fromkeys(("run", "demo", "report"), 3),
}


@pytest.mark.parametrize("long", LONG, ids=lambda long: slug(long.name))
def test_signals(world: World, long: Long) -> None:
    rng, tally = random.Random(long.name), Tally()
    calm = undisturbed(world, long.name)
    wanted = figures.scale(_TRIES.get(long.name, _MANY))
    for number in range(4 * wanted):
        if tally.tries == wanted:
            break
        wrong = interrupt(calm, rng, fork=number % 6 > 0)
        if wrong is not None:
            tally.add(not wrong, wrong)
    figures.keep(f"R10-{slug(long.name)}", PROMISE, tally, "test_signals", f"`{long.name}`")
