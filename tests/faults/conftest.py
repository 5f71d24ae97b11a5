"""The world that faults are tried on, made once a session."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from faults.forked import preload
from faults.world import World

# In a process of its own: a fork of one in which another test has trained may not be able to train.
_MAKE = (
    "import sys; from pathlib import Path; from faults.forked import preload; from faults.world import World\n"
    "preload(); World(Path(sys.argv[1])).make()"
)
_TESTS = Path(__file__).resolve().parents[1]
_PATH = os.pathsep.join([str(_TESTS.parent), str(_TESTS)])


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world with a fitted and evaluated run; trials break copies of it."""
    home = tmp_path_factory.mktemp("faults") / "world"
    maker = subprocess.Popen([sys.executable, "-c", _MAKE, home], env={**os.environ, "PYTHONPATH": _PATH})
    preload()
    assert maker.wait() == 0
    return World(home)
