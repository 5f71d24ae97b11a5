"""A signal at a random moment of a long command, and the same command again."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from faults.processes.started import Started, start
from faults.world import EVALUATED, World, list_temporary, snapshot, without

SECONDS = 10.0  # in which a command ends, and all that it has started
_PATIENCE = 240.0  # seconds for a command that nobody disturbs
ENDS = (130, 143, -signal.SIGINT, -signal.SIGTERM)  # of a command that was stopped


@dataclass(frozen=True)
class Long:
    """A command that takes a while.

    Attributes:
        name: of it.
        words: of it.
        without: what is removed of the world before, below its folder.
        lasts: whether it runs until it is stopped, and makes nothing.
        needs: package that it cannot do without.
    """

    name: str
    words: Callable[[World], Sequence[object]]
    without: tuple[str, ...] = ()
    lasts: bool = False
    needs: str = ""


_RUN = "artifacts/tiny"
_LONGER = ("--set", "training.epochs=12", "--set", "training.stop_on=none")


def _train_all(*flags: object) -> Callable[[World], Sequence[object]]:
    return lambda w: ["train", "--all", "--device", "cpu", *w.config, *_LONGER, *flags]


LONG = (
    Long("data simulate", lambda w: ["data", "simulate", "--out", w.home / "sim", "--count", 60, "--size", 64,
                                     "--workers", 2]),
    Long("data pack", lambda w: w.pack_words(), ("pack",)),
    Long("train", lambda w: w.train_words("leaf", *_LONGER), (_RUN,)),
    Long("train on two processes", lambda w: w.train_words("leaf", *_LONGER, "--set", "training.devices=2"), (_RUN,)),
    Long("train --all", _train_all("--jobs", 2), (_RUN,)),
    Long("train --all --together", _train_all("--together"), (_RUN,)),
    Long("train --all --backend threading", _train_all("--backend", "threading", "--jobs", 2), (_RUN,)),
    Long("train --all --backend loky", _train_all("--backend", "loky", "--jobs", 2), (_RUN,)),
    Long("train --all --backend dask-local", _train_all("--backend", "dask-local", "--jobs", 2), (_RUN,),
         needs="distributed"),
    Long("train --all --backend ray", _train_all("--backend", "ray", "--jobs", 2), (_RUN,), needs="ray"),
    Long("fit", lambda w: w.ensemble_words("fit"), (f"{_RUN}/ensemble",)),
    Long("evaluate", lambda w: w.ensemble_words("evaluate"), EVALUATED),
    Long("report", lambda w: ["report", "--run", w.run]),
    Long("predict", lambda w: w.predict_words()),
    Long("predict --backend loky", lambda w: w.predict_words("--backend", "loky", "--jobs", 2, "--shard-size", 2)),
    Long("run", lambda w: w.whole_words("--jobs", 2)),
    Long("demo", lambda w: w.demo_words()),
    Long("export", lambda w: w.ensemble_words("export", "--out", w.home / "exported"), needs="onnx"),
    Long("serve", lambda w: ["serve", "--port", 0, "--run", w.run, "--corrections", w.home / "corrections",
                             "--device", "cpu"], lasts=True, needs="fastapi"),
)  # fmt: skip


def slug(name: str) -> str:
    """Return a command's name as part of a file's.

    >>> slug("train --all --backend ray")
    'train-all-backend-ray'
    """
    return "-".join(re.findall(r"[a-z]+", name))


class Undisturbed:
    """A command that nobody disturbs: how it ends, what it makes, and how long it takes."""

    def __init__(self, world: World, long: Long) -> None:
        self.long, self._world = long, world
        self._scratch = world.home.with_name(slug(long.name))
        self._scratch.mkdir()
        self.home = self._scratch / "world"
        self.seconds = dict[bool, float]()  # by whether it is forked
        there = self.prepare()
        if long.lasts:
            self.seconds = {True: 4.0, False: 12.0}
            return
        self.status = self._time(there, fork=True)
        self.made = snapshot(self.home)

    def _time(self, there: World, *, fork: bool) -> int:
        began = time.monotonic()
        started = self.start(there, fork=fork)
        status = started.wait(_PATIENCE)
        self.seconds[fork] = time.monotonic() - began
        text = started.text
        started.kill_all()
        assert status in (0, 1), f"{self.long.name}: {status}: {text[-2000:]}"
        assert "Traceback" not in text, f"{self.long.name}: {text[-2000:]}"
        return status

    def last(self, *, fork: bool = True) -> float:
        """Return how many seconds the command takes."""
        if fork not in self.seconds:
            self._time(self.prepare(), fork=fork)
        return self.seconds[fork]

    def prepare(self) -> World:
        """Return a world in which the command has not begun."""
        there = self._world.copy(self.home)
        without(*self.long.without)(there)
        return there

    def start(self, there: World, *, fork: bool = True) -> Started:
        """Start the command."""
        # Where the repository is, whose recipes and bundled ensemble are found by their names.
        return start(self.long.words(there), self._scratch / "output", fork=fork)

    def repeat(self, there: World) -> str:
        """Run the same command again; return what is otherwise than without a disturbance, "" where nothing is."""
        if self.long.lasts:
            return ""
        done = not self.compare()  # it was stopped when all was written, and need not write it again
        again = self.start(there)
        status = again.wait(_PATIENCE)
        again.kill_all()
        if status != self.status and not (done and status == 2 and "exists already" in again.text):
            return f"then status {status}: {_end(again.text)}"
        return self.compare()

    def compare(self) -> str:
        """Return what the command has made otherwise than without a disturbance, "" where nothing is."""
        end, left = snapshot(self.home), list_temporary(self.home)
        other = sorted(name for name in {*end, *self.made} if end.get(name) != self.made.get(name))
        return f"then other: {other[:4]}, left: {left[:2]}" if other or left else ""


_KNOWN = dict[tuple[Path, str], Undisturbed]()


def undisturbed(world: World, name: str) -> Undisturbed:
    """Return a command of `LONG` as it is when nobody disturbs it, tried once a session; skip what is not installed."""
    long = next(one for one in LONG if one.name == name)
    if long.needs and not find_spec(long.needs):
        pytest.skip(f"needs {long.needs}")
    if (key := (world.home, name)) not in _KNOWN:
        _KNOWN[key] = Undisturbed(world, long)
    return _KNOWN[key]


def interrupt(calm: Undisturbed, rng: random.Random, *, fork: bool) -> str | None:
    """Send a signal at a random moment of a command, then run it again.

    Returns:
        What went otherwise than promised, "" where nothing did; None where the command had ended before.
    """
    there = calm.prepare()
    how = rng.choice(("SIGINT", "SIGTERM", "Ctrl-C"))
    after = rng.uniform(0.02, calm.last(fork=fork))
    started = calm.start(there, fork=fork)
    try:
        if started.wait(after) is not None:
            return None
        began = time.monotonic()
        number = signal.SIGTERM if how == "SIGTERM" else signal.SIGINT
        if how == "Ctrl-C":  # of a terminal, which all processes of its group get
            os.killpg(started.number, number)
        else:
            os.kill(started.number, number)
        said = f"{calm.long.name}{'' if fork else ' (from its start)'}: {how} after {after:.2f} s"
        status = started.wait(SECONDS)
        if status is None:
            return f"{said}: not ended {SECONDS:g} s later: {_end(started.text)}"
        left = started.wait_for_processes(began + SECONDS - time.monotonic())
        wrong = f"{len(left)} processes left, as {left[0].command[:100]}; " if left else ""
        wrong += _check_end(calm, status, started.text, fork=fork)
    finally:
        started.kill_all()
    return f"{said}: {wrong}" if (wrong := wrong + calm.repeat(there)) else ""


def _check_end(calm: Undisturbed, status: int, text: str, *, fork: bool) -> str:
    """Return what is wrong about how a command ended."""
    imports = not fork and "/hpa_hier/cli/" not in text  # Python itself, before the program is there
    if "Traceback" in text and not imports:
        return f"a traceback: {text[-400:]!r}; "
    fine = (*ENDS, 0) if calm.long.lasts else (*ENDS, calm.status)
    return "" if status in fine or (imports and status == 1) else f"status {status}: {_end(text)}; "


def _end(text: str) -> str:
    return repr(text[-300:])
