"""R14 at full size: the web page's server under hostile and heavy load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import figures
from faults.processes.attacks import ATTACKS, SLOW, STRANGERS, TOKEN, Attack
from faults.processes.served import Served, serve
from faults.processes.web import MORE, SHARE, ask_much, try_attack, try_crowd, try_greed
from faults.world import World

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]
_HOSTILE = (
    "R14 a hostile request to the web page's server: answered, refused in one line of JSON, or its connection closed; "
    "nothing fails inside, and the server goes on"
)
_HEAVY = "R14 good requests to the web page's server, eight at once: each is answered, and memory stays the same"


@pytest.fixture(scope="module")
def served(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(world, tmp_path_factory.mktemp("web")) as running:
        ask_much(running, 20)  # what is loaded once
        yield running


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name.replace(" ", "-"))
def test_web_hostile(served: Served, attack: Attack) -> None:
    waits = attack.name == "a body that stops"
    tally = try_attack(served, attack, figures.scale(60 if waits else 500), at_once=24)
    figures.keep(f"R14-{attack.name.replace(' ', '-')}", _HOSTILE, tally, "test_web", attack.name)


def test_web_slow_clients(served: Served) -> None:
    tally = try_attack(served, SLOW, figures.scale(200), at_once=50)
    figures.keep("R14-slow", _HOSTILE, tally, "test_web", SLOW.name)


def test_web_crowd(served: Served) -> None:
    tally = try_crowd(served, figures.scale(700))
    figures.keep("R14-crowd", _HOSTILE, tally, "test_web", "connections that say nothing")


def test_web_greed(served: Served) -> None:
    tally = try_greed(served, max(50, figures.scale(200)))
    figures.keep("R14-greed", _HOSTILE, tally, "test_web", "more jobs than one may have")


def test_web_strangers(world: World, tmp_path: Path) -> None:
    with serve(world, tmp_path, TOKEN) as running:
        tally = try_attack(running, STRANGERS, figures.scale(500), at_once=8)
    tally.add(running.status == 0 and not running.left, f"it ended with {running.status}, and left {running.left[:3]}")
    figures.keep("R14-strangers", _HOSTILE, tally, "test_web", STRANGERS.name)


def test_web_heavy(world: World, tmp_path: Path) -> None:
    with serve(world, tmp_path) as running:
        ask_much(running, max(200, figures.scale(600)))  # what is kept of jobs is full then
        tally, held = ask_much(running, max(200, figures.scale(4000)))
    first, last = held[0], held[-1]
    tally.add(last <= first * SHARE + MORE, f"{first:.0f} MB, then {held}")
    tally.add(running.status == 0 and not running.left, f"it ended with {running.status}, and left {running.left[:3]}")
    told = f"requests: {first:.0f} MB after the first hundred, {last:.0f} MB after the last;"
    figures.keep("R14-heavy", _HEAVY, tally, "test_web", told)
