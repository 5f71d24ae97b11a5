"""Two commands on one folder: one is stopped at one of its file operations while the other runs, and then goes on."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from faults.forked import Child, run, start
from faults.world import EVALUATED, World, list_temporary, snapshot, without

Words = Callable[[World], Sequence[object]]
_EVENTS = {"open": 0, "os.rename": 1, "os.remove": 0, "os.mkdir": 0, "os.rmdir": 0, "os.listdir": 0, "os.scandir": 0}
_PAUSE = 0.1  # seconds between two looks at a process
_QUIET = 1.2  # seconds of next to no work after which a process is taken to wait for the other
_LITTLE = 0.05  # share of that time
_LONGEST = 240.0  # seconds that a command may take in all


@dataclass(frozen=True)
class Pair:
    """Two commands, and what is there before them."""

    name: str
    prepare: Callable[[World], object]
    one: Words
    other: Words
    costly: bool = False  # tried less often


def _answered(world: World) -> None:
    done = run(*world.predict_words())
    assert done.status == 0, done.text


_RUN = "artifacts/tiny"
_FIT: Words = lambda w: w.ensemble_words("fit")  # noqa: E731
_OTHER_FIT: Words = lambda w: w.ensemble_words("fit", "--set", "ensemble.aggregate=mean")  # noqa: E731
_EVALUATE: Words = lambda w: w.ensemble_words("evaluate")  # noqa: E731
_PREDICT: Words = lambda w: w.predict_words("--overwrite")  # noqa: E731
_OTHER_PREDICT: Words = lambda w: w.predict_words("--overwrite", "--intensity", "percentile")  # noqa: E731
_OTHER_SETTINGS = ("--set", "training.learning_rate=0.02")


def _split(seed: int, out: str) -> Words:
    return lambda w: ["data", "split", "--pack", w.pack, "--seed", seed, "--out", w.home / out]


def _simulate(seed: int) -> Words:
    flags = ("--count", 4, "--size", 32, "--workers", 1, "--seed", seed)
    return lambda w: ["data", "simulate", "--out", w.home / "sim", *flags]


def _balance(target: int) -> Words:
    return lambda w: ["data", "balance", "--pack", w.pack, "--target", target, "--out", w.home / "balance"]


def _export(form: str) -> Words:
    return lambda w: w.ensemble_words("export", "--format", form, "--out", w.home / "exported", "--overwrite")


def _export_member(member: str) -> Words:
    flags = ("--member", member, "--format", "safetensors", "--overwrite")
    return lambda w: ["members", "export", "--run", w.run, *flags, "--out", w.home / "exported"]


PAIRS = (
    Pair("fit beside another fit", without(f"{_RUN}/ensemble"), _FIT, _OTHER_FIT),
    Pair("fit over an ensemble beside another fit", without(), _FIT, _OTHER_FIT),
    Pair("fit beside evaluate", without(*EVALUATED), _OTHER_FIT, _EVALUATE),
    Pair("fit beside predict", without(), _OTHER_FIT, lambda w: w.predict_words()),
    Pair("fit beside report", without(f"{_RUN}/report"), _OTHER_FIT, lambda w: ["report", "--run", w.run], True),
    Pair("fit beside train --restart", without(), _FIT, lambda w: w.train_words("leaf", "--restart", *_OTHER_SETTINGS)),
    Pair(
        "fit beside train of a new member",
        without(f"{_RUN}/ensemble"),
        _FIT,
        lambda w: ["train", "--level", "leaf", "--seed", 5, "--device", "cpu", *w.config],
    ),
    Pair("evaluate beside evaluate", without(*EVALUATED), _EVALUATE, _EVALUATE),
    Pair("predict beside another predict", without(), _PREDICT, _OTHER_PREDICT),
    Pair("predict beside the same predict", without(), lambda w: w.predict_words(), lambda w: w.predict_words()),
    Pair("predict over answers beside another predict", _answered, _PREDICT, _OTHER_PREDICT),
    Pair(
        "predict beside one that may not overwrite",
        without(),
        lambda w: w.predict_words(),
        lambda w: w.predict_words("--intensity", "percentile"),
    ),
    Pair(
        "predict beside predict --own",
        without(),
        _PREDICT,
        lambda w: w.ensemble_words("predict", "--own", "--out", w.home / "answers", "--device", "cpu", "--overwrite"),
    ),
    Pair("data split beside another", without(), _split(1, "split.csv"), _split(2, "split.csv")),
    Pair("data split beside train", without(_RUN), _split(1, f"{_RUN}/split.csv"), lambda w: w.train_words()),
    Pair(
        "data pack beside another",
        without("pack"),
        lambda w: w.pack_words(),
        lambda w: [*w.pack_words(), "--intensity", "percentile"],
    ),
    Pair("data simulate beside another", without(), _simulate(1), _simulate(2)),
    Pair("data balance beside another", without(), _balance(30), _balance(40)),
    Pair("train beside the same train", without(_RUN), lambda w: w.train_words(), lambda w: w.train_words()),
    Pair("train beside another member", without(_RUN), lambda w: w.train_words(), lambda w: w.train_words("coarse")),
    Pair("members export beside another", without(), _export_member("leaf"), _export_member("coarse")),
    Pair("export beside another", without(), _export("onnx"), _export("openvino"), True),
)


def stop_at(number: int, root: Path, count: Path) -> Callable[[], None]:
    """Return what stops a process (SIGSTOP) before its `number`-th file operation below `root`; 0: never.

    Reading is an operation too. `count` is told how many there were.
    """

    def before() -> None:
        told, seen, top = os.open(count, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 0, os.fsencode(root) + b"/"

        def note(event: str, given: tuple[object, ...]) -> None:
            nonlocal seen
            place = _EVENTS.get(event)
            if place is None or len(given) <= place or not isinstance(given[place], (str, bytes, os.PathLike)):
                return
            if not os.fsencode(given[place]).startswith(top):  # type: ignore[arg-type]
                return
            seen += 1
            os.pwrite(told, str(seen).encode(), 0)
            if seen == number:
                os.kill(os.getpid(), signal.SIGSTOP)

        sys.addaudithook(note)

    return before


def try_pair(world: World, pair: Pair, scratch: Path, tries: int, seed: int = 0) -> Iterator[tuple[bool, str]]:
    """Stop either command before randomly chosen file operations, and run the other meanwhile.

    Yields:
        Whether what is there in the end is what the two leave one after the other, or one alone where the other was
        told in one line that it cannot; and what was otherwise.
    """
    home, count, rng = scratch / "world", scratch / "count", random.Random(seed)

    def prepare() -> World:
        there = world.copy(home)
        pair.prepare(there)
        return there

    def follow(*commands: Words) -> dict[str, str]:
        there = prepare()
        for words in commands:
            done = run(*words(there), timeout=_LONGEST)
            assert done.status in (0, 1) or done.refused, f"{pair.name}: {done.text}"
        return snapshot(home)

    both = [follow(pair.one, pair.other), follow(pair.other, pair.one)]
    alone = {pair.one: follow(pair.one), pair.other: follow(pair.other)}
    places = []
    for first, second in ((pair.one, pair.other), (pair.other, pair.one)):
        there = prepare()
        done = run(*first(there), before=stop_at(0, home, count), timeout=_LONGEST)
        assert done.status in (0, 1), f"{pair.name}: {done.text}"
        places += [(first, second, number) for number in range(1, int(count.read_text()) + 1)]
    for first, second, number in sorted(rng.sample(places, min(tries, len(places))), key=places.index):
        there = prepare()
        stopped = start(*first(there), before=stop_at(number, home, count))
        while not stopped.poll() and not stopped.stopped:
            time.sleep(_PAUSE)
        beside = start(*second(there))
        waited = _waits(beside)
        stopped.go_on()
        ends = stopped.wait(_LONGEST), beside.wait(_LONGEST)
        end, left = snapshot(home), list_temporary(home)
        fine = [one.status in (0, 1) for one in ends]
        allowed = [*both, *([alone[first]] if ends[1].refused else []), *([alone[second]] if ends[0].refused else [])]
        right = all(ok or one.refused for ok, one in zip(fine, ends, strict=True)) and any(fine)
        which = "first" if first is pair.one else "second"
        said = f"the {which} stopped before operation {number}, the other {'waited' if waited else 'ended'}; then"
        told = [f"{one.status}: {one.last}" for one in ends]
        differs = [sorted(name for name in {*end, *one} if end.get(name) != one.get(name))[:4] for one in allowed]
        yield right and end in allowed and not left, f"{pair.name}: {said} {told}, left {left[:2]}, other {differs}"


def _waits(child: Child) -> bool:
    """Wait until a process has ended, or does next to nothing, as one that waits for another; tell whether it is so."""
    began = time.monotonic()
    seen = [(began, 0.0)]  # when, and seconds of processor time until then
    while not child.poll():
        now = time.monotonic()
        seen.append((now, child.cpu()))
        before = next((one for one in reversed(seen) if now - one[0] >= _QUIET), None)
        if before and now - began > 2 * _QUIET and seen[-1][1] - before[1] < _LITTLE * _QUIET:
            return True
        time.sleep(_PAUSE)
    return False
