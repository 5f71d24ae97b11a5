"""The world that faults are tried on, made once a session."""

from __future__ import annotations

import pytest
from faults.forked import preload
from faults.world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world with a fitted and evaluated run; trials break copies of it."""
    preload()
    made = World(tmp_path_factory.mktemp("faults") / "world")
    made.make()
    return made
