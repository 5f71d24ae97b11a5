"""The memory of a process over thousands of predictions, loads and commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from faults.forked import call
from faults.tally import Tally
from faults.world import World

_MOST = 24  # MB by which the last fifth may be above the second
_ROUNDS = 5


def try_memory(world: World, times: int) -> Tally:
    """Predict again and again in one process, and load an ensemble again and again: the memory stays flat.

    Args:
        world: with a fitted run.
        times: images that are predicted; a thirtieth as many loads.
    """
    tally = Tally()
    for kind, count in (("predict", times), ("load", max(_ROUNDS, times // 30))):
        sizes = call(lambda kind=kind, count=count: _measure(world, kind, count), 3600)
        tally.tries += count
        if sizes[-1] > sizes[1] + _MOST:
            tally.failures.append(f"{kind}: {sizes} MB after each fifth of {count:,}")
    return tally


def _measure(world: World, kind: str, count: int) -> list[int]:
    """Return the resident memory, in MB, after each fifth of the work."""
    from hpa_hier.predict.predictor import Predictor

    rng, sizes = np.random.default_rng(0), []
    predictor = Predictor.load(world.run, device="cpu")
    for _ in range(_ROUNDS):
        for _ in range(-(-count // _ROUNDS // (4 if kind == "predict" else 1))):
            if kind == "predict":
                answers = predictor.predict(rng.integers(0, 255, (4, 4, 32, 32), dtype=np.uint8))
                assert len(answers.ids) == 4
            else:
                Predictor.load(world.run, device="cpu").open_early()
        sizes.append(_resident())
    return sizes


def _resident() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) >> 10
