"""kill -9 before each single file operation of a command, then the same command again."""

from __future__ import annotations

import builtins
import io
import mmap
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from faults.forked import run
from faults.tally import Tally
from faults.world import World, list_temporary, snapshot, without


@dataclass(frozen=True)
class Case:
    """A command, and what is there before it."""

    name: str
    prepare: Callable[[World], object]
    words: Callable[[World], Sequence[object]]
    most: int = 60  # tries at full size; fewer where each takes seconds
    whole: bool = False  # whether it is many commands, each of them a case too


def _with_answers(world: World) -> None:
    folder = world.home / "answers"
    folder.mkdir()
    for name in ("predictions.csv", "submission.csv", "rejected.csv", "probabilities.csv", "probabilities.parquet"):
        (folder / name).write_text("of another prediction\n")


def _with_export(world: World) -> None:
    done = run(*_export_member(world, "coarse"))
    assert done.status == 0, done.text


def _export_member(world: World, member: str, *more: object) -> Sequence[object]:
    flags = ["--run", world.run, "--member", member, "--format", "safetensors", "--out", world.home / "exported"]
    return ["members", "export", *flags, *more]


def _pack_vectors(world: World) -> Sequence[object]:
    flags = ["--vectors", world.vectors, "--labels", world.labels, "--taxonomy", world.taxonomy]
    return ["data", "pack", *flags, "--out", world.home / "of-vectors"]


def _train_vectors(world: World) -> Sequence[object]:
    sets = ("backbone=sklearn", "estimator=extra_trees", "estimator_parameters={n_estimators: 3}")
    flags = [word for one in sets for word in ("--set", f"training.{one}")]
    return ["train", "--level", "leaf", "--data", world.home / "of-vectors", "--run", world.home / "trees", *flags]


def _packed_vectors(world: World) -> None:
    done = run(*_pack_vectors(world))
    assert done.status == 0, done.text


def _with_scores(world: World) -> None:
    """Write what two other models would say of the labelled samples."""
    ids = [line.partition(",")[0] for line in world.labels.read_text().splitlines()[1:]]
    for name, step in (("one", 7), ("other", 11)):
        rows = [f"{one},{','.join(str(i * step * k % 10 / 10) for k in (1, 3, 5, 9))}" for i, one in enumerate(ids)]
        (world.home / f"{name}.csv").write_text("\n".join(["Id,Dots,Rings,Blobs,Smears", *rows]) + "\n")


def _fit_scores(world: World) -> Sequence[object]:
    tables = [f"{name}={world.home / name}.csv" for name in ("one", "other")]
    flags = ["--score-kind", "probs", "--labels", world.labels, "--taxonomy", world.taxonomy]
    return ["ensemble", "fit", "--run", world.home / "of-scores", "--scores", *tables, *flags]


def _fitted_scores(world: World) -> None:
    _with_scores(world)
    done = run(*_fit_scores(world))
    assert done.status == 0, done.text


def _scored(world: World) -> Sequence[object]:
    return [
        "--run",
        world.home / "of-scores",
        "--scores",
        *(f"{one}={world.home / one}.csv" for one in ("one", "other")),
    ]


def _evaluate_samples(world: World) -> Sequence[object]:
    flags = ["--labels", world.labels, "--out", world.home / "evaluated", "--report", "--device", "cpu"]
    return world.ensemble_words("evaluate", "--images", world.images, *flags)


def _with_another_run(world: World) -> None:
    shutil.rmtree(world.run / "report", ignore_errors=True)
    shutil.copytree(world.run, world.run.with_name("other"))


def _explain(world: World) -> Sequence[object]:
    flags = ["--images", world.new, "--device", "cpu", "--out", world.home / "pages", "--heat-map"]
    return ["explain", "s0001", "--run", world.run, *flags]


def _all_together(world: World) -> Sequence[object]:
    return ["train", "--all", "--together", "--device", "cpu", *world.config]


def _train_frozen(world: World) -> Sequence[object]:
    weights = world.run / "members" / "coarse" / "model.safetensors"
    return world.train_words("leaf", "--set", "training.frozen=true", "--weights", weights)


def _adapt(world: World) -> Sequence[object]:
    flags = ["--images", world.images, "--labels", world.labels, "--device", "cpu", "--out", world.home / "adapted"]
    return ["ensemble", "adapt", "--run", world.run, *flags]


_RUN = "artifacts/tiny"
_LONGEST = 600.0  # seconds that a command may take
_OTHER = ("--set", "ensemble.aggregate=mean", "--set", "ensemble.thresholds=f1")
CASES = (
    Case("data pack", without("pack"), lambda w: w.pack_words()),
    Case("data split", without(), lambda w: ["data", "split", "--pack", w.pack, "--out", w.home / "split.csv"]),
    Case(
        "data simulate",
        without(),
        lambda w: ["data", "simulate", "--out", w.home / "sim", "--count", 4, "--size", 32, "--workers", 1],
    ),
    Case(
        "data balance",
        without(),
        lambda w: ["data", "balance", "--pack", w.pack, "--target", 30, "--out", w.home / "balance"],
    ),
    Case("train", without(_RUN), lambda w: w.train_words()),
    Case("train --restart", without(f"{_RUN}/ensemble"), lambda w: w.train_words("leaf", "--restart")),
    Case("fit", without(f"{_RUN}/ensemble"), lambda w: w.ensemble_words("fit")),
    Case("fit over another", without(), lambda w: w.ensemble_words("fit", *_OTHER)),
    Case(
        "fit without baseline over another",
        without(),
        lambda w: w.ensemble_words("fit", "--set", "ensemble.use_baseline=false"),
    ),
    Case(
        "evaluate",
        without(*(f"{_RUN}/ensemble/{name}" for name in ("evaluation.npz", "evaluation.json", "results.json"))),
        lambda w: w.ensemble_words("evaluate"),
    ),
    Case("predict", without(), lambda w: w.predict_words()),
    Case("predict over other answers", _with_answers, lambda w: w.predict_words("--overwrite")),
    Case("report", without(f"{_RUN}/report"), lambda w: ["report", "--run", w.run], most=8),
    Case("data pack --vectors", without(), _pack_vectors),
    Case(
        "predict in shards",
        without(),
        lambda w: w.predict_words("--shard-size", 2, "--format", "parquet", "--report", "--batch-size", 2),
    ),
    Case(
        "predict --backend threading",
        without(),
        lambda w: w.predict_words("--shard-size", 2, "--backend", "threading", "--jobs", 2),
        most=12,
    ),
    Case("train of trees", _packed_vectors, _train_vectors),
    Case("train --folds", without(_RUN), lambda w: w.train_words("leaf", "--folds", 2)),
    Case("fit --scores", _with_scores, _fit_scores),
    Case("predict --scores", _fitted_scores, lambda w: ["predict", *_scored(w), "--out", w.home / "answers"]),
    Case(
        "evaluate --scores",
        _fitted_scores,
        lambda w: ["ensemble", "evaluate", *_scored(w), "--labels", w.labels, "--out", w.home / "evaluated"],
    ),
    Case("evaluate of other samples", without(), _evaluate_samples, most=12),
    Case("explain", without(), _explain, most=30),
    Case("data audit --pairs", without(), lambda w: ["data", "audit", "--pack", w.pack, "--pairs", w.home / "p.csv"]),
    Case(
        "data simulate --as pack",
        without(),
        lambda w: [
            "data",
            "simulate",
            "--out",
            w.home / "sim",
            "--count",
            4,
            "--size",
            32,
            "--as",
            "pack",
            "--workers",
            1,
        ],
    ),
    Case(
        "report --figures",
        without(f"{_RUN}/report"),
        lambda w: ["report", "--run", w.run, "--figures", "png"],
        most=12,
    ),
    Case(
        "report --against",
        _with_another_run,
        lambda w: ["report", "--run", w.run, "--against", w.run.with_name("other")],
    ),
    Case("doctor", without(), lambda w: ["doctor", "--folder", w.home, "--quick"]),
    Case("run", without("pack", "artifacts"), lambda w: w.whole_words(), most=12, whole=True),
    Case("demo", without("pack", "artifacts"), lambda w: w.short_demo_words(), most=6, whole=True),
    Case("predict --own", without(), lambda w: ["predict", "--run", w.run, "--own", "--out", w.home / "own"]),
    Case("train --together", without(_RUN), _all_together),
    Case("train of frozen features", without(f"{_RUN}/members/leaf"), _train_frozen),
    Case("adapt", without(), _adapt, most=30),
    Case("members export", without(), lambda w: _export_member(w, "leaf")),
    Case("members export over another", _with_export, lambda w: _export_member(w, "leaf", "--overwrite")),
    Case(
        "ensemble export",
        without(),
        lambda w: ["ensemble", "export", "--run", w.run, "--out", w.home / "exported"],
        most=8,
    ),
    Case("taxonomy copy", without(), lambda w: ["taxonomy", "copy", "hpa28", "--out", w.home / "copy.yaml"]),
    Case("taxonomy new", without(), lambda w: ["taxonomy", "new", "--labels", w.labels, "--out", w.home / "n.yaml"]),
    Case("recipe copy", without(), lambda w: ["recipe", "copy", "default", "--out", w.home / "copy.yaml"]),
)


class Counter:
    """A number that this process shares with those that it forks."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def __int__(self) -> int:
        return int.from_bytes(self._memory[:4], sys.byteorder)

    def next(self) -> int:
        """Count one more; return how many there were."""
        number = int(self) + 1
        self._memory[:4] = number.to_bytes(4, sys.byteorder)
        return number


def arm(
    number: int, root: Path, count: Counter | None = None, when: Callable[[], bool] = lambda: False
) -> Callable[[], None]:
    """Return what kills a process before its `number`-th file operation below `root`, or as soon as `when` holds.

    Operations of processes that it forks are counted too, in `count`, and the one that is killed is that which does it.
    """
    seen = count or Counter()

    def tick(path: Any) -> None:
        if isinstance(path, int):
            path = Path(f"/proc/self/fd/{path}").readlink()
        try:
            name = os.fsdecode(os.fspath(path))
        except TypeError:
            return
        if not str(Path(name).absolute()).startswith(str(root)):
            return
        if seen.next() == number or when():
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


def _fork_step(step: Any) -> None:
    """Do a step of `run` or `demo` as a fork of its process, not as a new one; where one is killed, so is the other."""
    _, _, module, *words = shlex.split(step.line)  # python -m hpa_hier.data pack …
    done = run(*module.split(".")[1:], *words, timeout=_LONGEST)
    print(done.text, flush=True)
    if done.status == -signal.SIGKILL:
        os.kill(os.getpid(), signal.SIGKILL)
    if done.status not in step.may_end_with:
        from hpa_hier.errors import UserError

        raise UserError(f"the step '{step.title}' ended with status {done.status}")


def try_case(world: World, case: Case, scratch: Path, most: int) -> Iterator[tuple[bool, str]]:
    """Kill a command before each of its file operations, evenly spaced where there are more than `most`.

    Yields:
        Whether the same command then gave the same result with nothing left over, and what was otherwise.
    """
    home, count = scratch / "world", Counter()

    def prepare() -> World:
        there = world.copy(home)
        case.prepare(there)
        return there

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hpa_hier.cli.steps._perform", _fork_step)
        there = prepare()
        before = snapshot(home)
        first = run(*case.words(there), before=arm(0, home, count), timeout=_LONGEST)
        assert first.status in (0, 1), f"{case.name}: {first.text}"
        wanted, operations = snapshot(home), int(count)
        assert operations, f"{case.name} wrote nothing"
        assert wanted != before or case.name == "doctor", f"{case.name} left nothing"
        step = max(1, -(-operations // most))
        for number in range(1, operations + 1, step):
            there = prepare()
            killed = run(*case.words(there), before=arm(number, home), timeout=_LONGEST)
            assert killed.status == -signal.SIGKILL, f"{case.name}, operation {number}: {killed}"
            again = run(*case.words(there), timeout=_LONGEST)
            if again.status != first.status:
                yield False, f"{case.name}: killed before operation {number}, then status {again.status}: {again.last}"
                continue
            end, left = snapshot(home), list_temporary(home)
            other = sorted(name for name in {*end, *wanted} if end.get(name) != wanted.get(name))
            said = f"killed before operation {number} of {operations}, then"
            yield not (other or left), f"{case.name}: {said} other: {other[:4]}, left: {left[:2]}"


def try_kills(world: World, scratch: Path, names: Sequence[str], most: int) -> Tally:
    """Try the named cases."""
    tally = Tally()
    for case in CASES:
        if case.name in names:
            for right, what in try_case(world, case, scratch, most):
                tally.add(right, what)
    return tally
