"""R9 at full size: two commands on one folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import figures
from faults.processes.together import PAIRS, Pair, try_pair
from faults.tally import Tally
from faults.world import World

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name.replace(" ", "-"))
def test_together(world: World, tmp_path: Path, pair: Pair) -> None:
    tally = Tally()
    for right, what in try_pair(world, pair, tmp_path, figures.scale(6 if pair.costly else 30)):
        tally.add(right, what)
    promise = (
        "R9 of two commands on a folder one is stopped (SIGSTOP) before a file operation while the other runs, and "
        "goes on: they leave what one leaves after the other, or one is refused in one line"
    )
    name = f"R09-{pair.name.replace(' ', '-').replace('--', '')}"
    figures.keep(name, promise, tally, "test_together", f"`{pair.name}`")
