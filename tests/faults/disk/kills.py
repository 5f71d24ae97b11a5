"""kill -9 before each single file operation of a command, then the same command again."""

from __future__ import annotations

import builtins
import io
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.forked import run
from faults.tally import Tally
from faults.world import World, list_temporary, snapshot


@dataclass(frozen=True)
class Case:
    """A command, and what is there before it."""

    name: str
    prepare: Callable[[World], object]
    words: Callable[[World], Sequence[object]]


def _without(*parts: str) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        for part in parts:
            path = world.home / part
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    return prepare


def _with_answers(world: World) -> None:
    folder = world.home / "answers"
    folder.mkdir()
    for name in ("predictions.csv", "submission.csv", "rejected.csv", "probabilities.csv", "probabilities.parquet"):
        (folder / name).write_text("of another prediction\n")


_RUN = "artifacts/tiny"
_OTHER = ("--set", "ensemble.aggregate=mean", "--set", "ensemble.thresholds=f1")
CASES = (
    Case("data pack", _without("pack"), lambda w: w.pack_words()),
    Case("data split", _without(), lambda w: ["data", "split", "--pack", w.pack, "--out", w.home / "split.csv"]),
    Case(
        "data simulate",
        _without(),
        lambda w: ["data", "simulate", "--out", w.home / "sim", "--count", 4, "--size", 32, "--workers", 1],
    ),
    Case(
        "data balance",
        _without(),
        lambda w: ["data", "balance", "--pack", w.pack, "--target", 30, "--out", w.home / "balance"],
    ),
    Case("train", _without(_RUN), lambda w: w.train_words()),
    Case("train --restart", _without(f"{_RUN}/ensemble"), lambda w: w.train_words("leaf", "--restart")),
    Case("fit", _without(f"{_RUN}/ensemble"), lambda w: w.ensemble_words("fit")),
    Case("fit over another", _without(), lambda w: w.ensemble_words("fit", *_OTHER)),
    Case(
        "fit without baseline over another",
        _without(),
        lambda w: w.ensemble_words("fit", "--set", "ensemble.use_baseline=false"),
    ),
    Case(
        "evaluate",
        _without(*(f"{_RUN}/ensemble/{name}" for name in ("evaluation.npz", "evaluation.json", "results.json"))),
        lambda w: w.ensemble_words("evaluate"),
    ),
    Case("predict", _without(), lambda w: w.predict_words()),
    Case("predict over other answers", _with_answers, lambda w: w.predict_words("--overwrite")),
    Case("report", _without(f"{_RUN}/report"), lambda w: ["report", "--run", w.run]),
)


def arm(number: int, root: Path, count: Path | None = None) -> Callable[[], None]:
    """Return what kills a process before its `number`-th file operation below `root`; `count` is told their number."""
    state = {"seen": 0}

    def tick(path: Any) -> None:
        if isinstance(path, int):
            path = Path(f"/proc/self/fd/{path}").readlink()
        try:
            name = os.fsdecode(os.fspath(path))
        except TypeError:
            return
        if not str(Path(name).absolute()).startswith(str(root)):
            return
        state["seen"] += 1
        if count is not None:
            real_open(count, "w").write(str(state["seen"]))
        if state["seen"] == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrap(name: str, argument: int = 0) -> None:
        real = getattr(os, name)

        def operation(*given: Any, **named: Any) -> Any:
            tick(given[argument])
            return real(*given, **named)

        setattr(os, name, operation)

    real_open = io.open

    def watched_open(file: Any, mode: str = "r", *given: Any, **named: Any) -> Any:
        if set(mode) & set("wax+"):
            tick(file)
        return real_open(file, mode, *given, **named)

    def before() -> None:
        for name in ("replace", "rename"):
            wrap(name, 1)
        for name in ("unlink", "remove", "fsync", "mkdir"):
            wrap(name)
        io.open = watched_open  # type: ignore[assignment]
        builtins.open = watched_open  # type: ignore[assignment]

    return before


def try_case(world: World, case: Case, scratch: Path, most: int = 1000) -> Iterator[tuple[bool, str]]:
    """Kill a command before each of its file operations, evenly spaced where there are more than `most`.

    Yields:
        Whether the same command then gave the same result with nothing left over, and what was otherwise.
    """
    home, count = scratch / "world", scratch / "count"

    def prepare() -> World:
        there = world.copy(home)
        case.prepare(there)
        return there

    there = prepare()
    before = snapshot(home)
    first = run(*case.words(there), before=arm(0, home, count))
    assert first.status in (0, 1), f"{case.name}: {first.text}"
    wanted, operations = snapshot(home), int(count.read_text())
    assert wanted != before, f"{case.name} wrote nothing"
    step = max(1, -(-operations // most))
    for number in range(1, operations + 1, step):
        there = prepare()
        killed = run(*case.words(there), before=arm(number, home))
        assert killed.status == -signal.SIGKILL, f"{case.name}, operation {number}: {killed}"
        again = run(*case.words(there))
        if again.status != first.status:
            yield False, f"{case.name}: killed before operation {number}, then status {again.status}: {again.last}"
            continue
        end, left = snapshot(home), list_temporary(home)
        other = sorted(name for name in {*end, *wanted} if end.get(name) != wanted.get(name))
        said = f"killed before operation {number} of {operations}, then"
        yield not (other or left), f"{case.name}: {said} other: {other[:4]}, left: {left[:2]}"


def try_kills(world: World, scratch: Path, names: Sequence[str] = (), most: int = 1000) -> Tally:
    """Try the named cases, or all."""
    tally = Tally()
    for case in CASES:
        if not names or case.name in names:
            for right, what in try_case(world, case, scratch, most):
                tally.add(right, what)
    return tally
