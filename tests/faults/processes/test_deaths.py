"""R11 at full size: workers, what they are forked from, and commands themselves are killed, or stopped."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import pytest
from faults import figures
from faults.processes.deaths import is_command, is_worker, kill_fork_server, kill_parent, kill_worker, stop
from faults.processes.moments import Undisturbed, slug, undisturbed
from faults.tally import Tally
from faults.world import World

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]
_GOES_ON = "R11 a worker is killed (SIGKILL): the command goes on, with the same result, and leaves no process"
_ENDS = "R11 a training is killed (SIGKILL): the command says so without a traceback; typed again, the same result"
_SERVER = "R11 the process that members are forked from is killed (SIGKILL): they train on, with the same result"
_PARENT = (
    "R11 the command itself is killed (SIGKILL): its workers end within 30 s, Ray's own agents within 90 s; "
    "typed again, the same result"
)
_STOPPED = (
    "R11 a worker or step is stopped (SIGSTOP): a second Ctrl-C ends all within 10 s; typed again, the same result"
)
_ORPHANED = (
    "R11 a worker or step is stopped (SIGSTOP), and the command itself killed (SIGKILL): all ends within 30 s; typed "
    "again, the same result"
)
_ALL, _ON = "train --all", "train --all --backend {}".format
_STOP = "the training stopped; the same command resumes it"
_KILLED = "failed, killed by SIGKILL; log: "


def _try(name: str, world: World, most: int, act: Callable[[Undisturbed, random.Random], str | None]) -> Tally:
    """Try something with a command until it was done `most` times; where it ends sooner, that is none."""
    rng, tally, wanted = random.Random(name), Tally(), figures.scale(most)
    calm = undisturbed(world, name)
    for _ in range(4 * wanted):
        if tally.tries < wanted and (wrong := act(calm, rng)) is not None:
            tally.add(not wrong, wrong)
    return tally


def _keep(kind: str, promise: str, name: str, tally: Tally) -> None:
    figures.keep(f"R11-{kind}-{slug(name)}", promise, tally, "test_deaths", f"`{name}`")


@pytest.mark.parametrize(
    ("name", "most"),
    [
        (_ON("threading"), 6),
        (_ON("loky"), 6),
        (_ON("dask-local"), 6),
        (_ON("ray"), 6),
        ("predict --backend loky", 6),
        ("data simulate", 6),
    ],
)
def test_deaths_of_workers_of_a_place(world: World, name: str, most: int) -> None:
    _keep("goes-on", _GOES_ON, name, _try(name, world, most, partial(kill_worker, goes_on=True)))


@pytest.mark.parametrize(
    ("name", "most", "told"),
    [(_ALL, 8, _KILLED), ("train on two processes", 4, _STOP)],
)
def test_deaths_of_workers(world: World, name: str, most: int, told: str) -> None:
    act = partial(kill_worker, goes_on=False, told=told)
    _keep("told", _ENDS, name, _try(name, world, most, act))


def test_deaths_of_the_fork_server(world: World) -> None:
    _keep("server", _SERVER, _ALL, _try(_ALL, world, 6, kill_fork_server))


@pytest.mark.parametrize(
    ("name", "most"),
    [
        *((_ALL, 4), (_ON("threading"), 2), (_ON("loky"), 2), (_ON("dask-local"), 3), (_ON("ray"), 3)),
        *(("train on two processes", 2), ("predict --backend loky", 2), ("data simulate", 2), ("demo", 2), ("run", 2)),
    ],
)
def test_deaths_of_commands(world: World, name: str, most: int) -> None:
    _keep("parent", _PARENT, name, _try(name, world, most, kill_parent))


@pytest.mark.parametrize(
    ("name", "most"),
    [
        *((_ALL, 3), (_ON("threading"), 2), (_ON("loky"), 2), (_ON("dask-local"), 2), (_ON("ray"), 2)),
        *(("train on two processes", 3), ("demo", 2), ("run", 2)),
    ],
)
def test_deaths_of_what_is_stopped(world: World, name: str, most: int) -> None:
    _keep("stopped", _STOPPED, name, _try(name, world, most, partial(stop, which=is_command)))


@pytest.mark.parametrize(
    ("name", "most"),
    [
        *((_ON("loky"), 2), (_ON("dask-local"), 2), (_ON("ray"), 2)),
        *(("predict --backend loky", 2), ("data simulate", 2)),
    ],
)
def test_deaths_of_workers_that_are_stopped(world: World, name: str, most: int) -> None:
    _keep("stopped-worker", _STOPPED, name, _try(name, world, most, partial(stop, which=is_worker)))


@pytest.mark.parametrize(
    ("name", "most"),
    [
        *((_ALL, 3), (_ON("threading"), 2), (_ON("loky"), 2), (_ON("dask-local"), 2), (_ON("ray"), 2)),
        *(("train on two processes", 2), ("predict --backend loky", 2), ("data simulate", 3), ("demo", 2), ("run", 2)),
    ],
)
def test_deaths_of_commands_with_a_stopped_worker(world: World, name: str, most: int) -> None:
    _keep("orphaned", _ORPHANED, name, _try(name, world, most, partial(kill_parent, stopping=True)))
