"""R3 to R7 and R18 at full size: files that were damaged, or come from somebody else."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from faults import figures
from faults.hostile.damage import ARTIFACTS, REPORTED, change_bytes, change_digit, other_json, try_damage
from faults.hostile.paths import try_paths
from faults.world import World

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]


@pytest.mark.parametrize(
    ("kind", "change"), [("bytes", change_bytes), ("digit", change_digit), ("json", other_json)], ids=lambda one: one
)
def test_damage(world: World, tmp_path: Path, kind: str, change: Callable[[bytes, random.Random], bytes]) -> None:
    ends = {"bytes": "", "digit": (".json", ".csv", ".yaml"), "json": ".json"}[kind]
    chosen = [one for one in ARTIFACTS if one[0].endswith(ends)]  # type: ignore[arg-type]
    tally = try_damage(world, tmp_path, chosen, change, figures.scale(100))
    for page in (one for one in REPORTED if one[0].endswith(ends)):  # type: ignore[arg-type]
        shown = try_damage(world, tmp_path, [page], change, figures.scale(10))
        tally.tries += shown.tries
        tally.failures += shown.failures
    words = {"bytes": "bytes changed", "digit": "one digit changed", "json": "other JSON"}[kind]
    promise = f"R3 {words} in what is read back: refused in one line, or the same result"
    figures.keep(f"R03-{kind}", promise, tally, "test_damage")


def test_paths(world: World, tmp_path: Path) -> None:
    promise = "R7 a name inside an artifact leads elsewhere: refused in one line, and nothing there is opened"
    figures.keep("R07-paths", promise, try_paths(world, tmp_path), "test_paths")
