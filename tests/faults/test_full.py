"""The faults at full size; what came of each is kept in figures.json, from which docs/reliability.md has its table."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faults import figures
from faults.damage import ARTIFACTS, REPORTED, change_bytes, change_digit, other_json, try_damage
from faults.failing import build_shim
from faults.forked import preload, run
from faults.kills import CASES, try_case
from faults.paths import try_paths
from faults.tally import Tally
from faults.world import World

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]
SIZE = float(os.environ.get("FAULTS_SIZE", "1"))  # of all trials, against the full size


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world with a fitted and evaluated run."""
    preload()
    made = World(tmp_path_factory.mktemp("faults") / "world")
    make_world(made)
    return made


def make_world(made: World) -> None:
    made.draw()
    members = (made.train_words(name) for name in ("coarse", "leaf", "leaf-s1"))
    last = (made.ensemble_words("fit"), made.ensemble_words("evaluate"))
    for words in (made.pack_words(), *members, *last):
        done = run(*words)
        assert done.status == 0, done.text


def _keep(promise: str, tally: Tally, name: str) -> None:
    size = "" if SIZE == 1 else f"FAULTS_SIZE={SIZE:g} "
    figures.keep(promise, tally, f"{size}make test-faults TEST={name}")
    assert tally.failures == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_kills(world: World, tmp_path: Path, case: object) -> None:
    tally = Tally()
    most = 4 if case.name == "report" else max(1, int(60 * SIZE))  # type: ignore[attr-defined]
    for right, what in try_case(world, case, tmp_path, most):  # type: ignore[arg-type]
        tally.add(right, what)
    name = case.name  # type: ignore[attr-defined]
    promise = f"R1 `{name}` killed (SIGKILL) before a file operation, then run again: same result, nothing left over"
    _keep(promise, tally, "test_kills")


@pytest.mark.parametrize(
    ("kind", "change"), [("bytes", change_bytes), ("digit", change_digit), ("json", other_json)], ids=lambda one: one
)
def test_damage(world: World, tmp_path: Path, kind: str, change: Callable[[bytes, random.Random], bytes]) -> None:
    ends = {"bytes": "", "digit": (".json", ".csv", ".yaml"), "json": ".json"}[kind]
    chosen = [one for one in ARTIFACTS if one[0].endswith(ends)]  # type: ignore[arg-type]
    tally = try_damage(world, tmp_path, chosen, change, max(1, int(100 * SIZE)))
    for page in (one for one in REPORTED if one[0].endswith(ends)):  # type: ignore[arg-type]
        shown = try_damage(world, tmp_path, [page], change, max(1, int(10 * SIZE)))
        tally.tries += shown.tries
        tally.failures += shown.failures
    words = {"bytes": "bytes changed", "digit": "one digit changed", "json": "other JSON"}[kind]
    promise = f"R3 {words} in what is read back: refused in one line, or the same result"
    _keep(promise, tally, "test_damage")


def test_paths(world: World, tmp_path: Path) -> None:
    promise = "R7 a name inside an artifact leads elsewhere: refused in one line, and nothing there is opened"
    _keep(promise, try_paths(world, tmp_path), "test_paths")


def test_failing_calls(world: World, tmp_path: Path) -> None:
    library = build_shim(tmp_path)
    if library is None:
        pytest.skip("no compiler")
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from faults.failing import try_failures\n"
        "from faults.forked import preload\n"
        "from faults.kills import CASES\n"
        "from faults.world import World\n"
        "preload()\n"
        "names = [case.name for case in CASES if case.name != 'report']\n"
        "home, scratch, library = map(Path, sys.argv[1:4])\n"
        "tally = try_failures(World(home), scratch, library, names, int(sys.argv[4]))\n"
        "print(json.dumps([tally.tries, tally.failures]))\n"
    )
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(root), str(root / "tests")])
    words = [sys.executable, "-c", code, world.home, tmp_path, library, str(max(1, int(60 * SIZE)))]
    env = {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": path}
    done = subprocess.run([str(word) for word in words], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    import json

    tries, failures = json.loads(done.stdout.splitlines()[-1])
    promise = "R2 each kind of system call fails in each command: one line, status 2, and the command does it again"
    _keep(promise, Tally(tries, failures), "test_failing_calls")


def test_signals(world: World, tmp_path: Path) -> None:
    rng, tally = random.Random(1), Tally()
    for number in range(max(2, int(60 * SIZE))):
        there = world.copy(tmp_path / "world")
        words = (
            ["data", "simulate", "--out", there.home / "sim", "--count", 400, "--size", 32, "--workers", 1],
            there.train_words("leaf", "--restart", "--set", "training.epochs=400"),
            there.ensemble_words("fit"),
            there.predict_words(),
        )[number % 4]
        which = (signal.SIGINT, signal.SIGTERM)[number // 4 % 2]
        right, what = _interrupt([str(word) for word in words], which, rng.uniform(0.05, 4.0))
        tally.add(right, what)
    promise = "R10 SIGINT or SIGTERM at a random moment: ends within 10 s without a traceback, and leaves no process"
    _keep(promise, tally, "test_signals")


def _interrupt(words: list[str], number: signal.Signals, after: float) -> tuple[bool, str]:
    command = [sys.executable, "-m", "hpa_hier", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as child:
        time.sleep(after)
        child.send_signal(number)
        try:
            text, _ = child.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            return False, f"{words[:2]}: not ended 10 s after {number.name}"
    time.sleep(1.0)
    left = subprocess.run(["pgrep", "-s", str(child.pid), "-a"], capture_output=True, text=True, check=False).stdout
    processes = [line for line in left.splitlines() if "resource_tracker" not in line]
    begun = "hpa_hier/cli" in text  # a signal may come before Python has got to the command
    ends = (0, 1, 130, 143, -signal.SIGTERM, -signal.SIGINT)
    fine = child.returncode in ends and not (begun and "Traceback" in text)
    return (
        fine and not processes,
        f"{words[:2]}: {number.name} after {after:.1f} s: {child.returncode} {text[-300:]} {processes}",
    )
