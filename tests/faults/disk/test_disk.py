"""R1 and R2 at full size: killed commands, and a machine that refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from faults import figures
from faults.disk.failing import build_shim
from faults.disk.kills import CASES, Case, try_case
from faults.disk.limits import may_mount, try_full_disk, try_limits, try_read_only, try_rights
from faults.tally import Tally
from faults.world import World

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_kills(world: World, tmp_path: Path, case: Case) -> None:
    tally = Tally()
    for right, what in try_case(world, case, tmp_path, figures.scale(case.most)):
        tally.add(right, what)
    promise = "R1 a command is killed (SIGKILL) before a file operation, then run again: same result, nothing left over"
    name = f"R01-{case.name.replace(' ', '-').replace('--', '')}"
    figures.keep(name, promise, tally, "test_kills", f"`{case.name}`")


def test_failing_calls(world: World, tmp_path: Path) -> None:
    library = build_shim(tmp_path)
    if library is None:
        pytest.skip("no compiler")
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from faults.disk.failing import try_failures\n"
        "from faults.disk.limits import CHOSEN\n"
        "from faults.forked import preload\n"
        "from faults.world import World\n"
        "preload()\n"
        "names = [case.name for case in CHOSEN]\n"
        "home, scratch, library = map(Path, sys.argv[1:4])\n"
        "tally = try_failures(World(home), scratch, library, names, int(sys.argv[4]))\n"
        "print(json.dumps([tally.tries, tally.failures]))\n"
    )
    root = Path(__file__).resolve().parents[3]
    path = os.pathsep.join([str(root), str(root / "tests")])
    words = [sys.executable, "-c", code, world.home, tmp_path, library, str(figures.scale(60))]
    env = {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": path}
    done = subprocess.run([str(word) for word in words], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    tries, failures = json.loads(done.stdout.splitlines()[-1])
    promise = "R2 each kind of system call fails in each command: one line, status 2, and the command does it again"
    figures.keep("R02-calls", promise, Tally(tries, failures), "test_failing_calls")


def test_limits(world: World, tmp_path: Path) -> None:
    promise = "R2 under `ulimit -f` or `ulimit -n`: one line, status 2, and the command does it again without"
    figures.keep("R02-limits", promise, try_limits(world, tmp_path), "test_limits")


def test_full_disk(world: World, tmp_path: Path) -> None:
    if not may_mount(tmp_path):
        pytest.skip("no right to mount a small disk")
    promise = "R2 on a disk with 4 to 260 kB left: one line, status 2, and the command does it again with room"
    figures.keep("R02-full-disk", promise, try_full_disk(world, tmp_path), "test_full_disk")


def test_read_only(world: World, tmp_path: Path) -> None:
    if not may_mount(tmp_path):
        pytest.skip("no right to mount a small disk")
    promise = "R2 on a read-only disk: one line, status 2"
    figures.keep("R02-read-only", promise, try_read_only(world, tmp_path), "test_read_only")


def test_rights(world: World, tmp_path: Path) -> None:
    promise = "R2 no right to a file or folder: one line that names it, status 2"
    figures.keep("R02-rights", promise, try_rights(world, tmp_path), "test_rights")
