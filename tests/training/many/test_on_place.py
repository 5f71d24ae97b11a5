"""Members on a place: in order, resumed where they were killed, saved at Ctrl-C, and the others untouched."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path

import pytest

from hpa_hier.places.call import Answer, Call
from hpa_hier.places.command import Ended
from hpa_hier.places.engine import Engine
from hpa_hier.places.place import Place, open_place
from hpa_hier.training.many.on_place import Task, list_tasks, train_on_place

TESTS = Path(__file__).resolve().parents[2]


LOKY, DASK = (pytest.param(name, marks=pytest.mark.cluster) for name in ("loky", "dask-local"))


@pytest.fixture(scope="module", params=["threading", LOKY, DASK])
def place(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(TESTS))
        patch.setattr("hpa_hier.places.command._LOOK", 0.1)
        with open_place(request.param, 2) as opened:
            yield opened


def make_task(home: Path, name: str, steps: int, *flags: str, **rest: object) -> Task:
    folder = home / name
    folder.mkdir()
    return Task(name, ("toy_member", str(folder), str(steps), *flags), folder, **rest)  # type: ignore[arg-type]


def train(tasks: list[Task], place: Place, home: Path) -> dict[str, int]:
    return train_on_place(tasks, place, home, ["cpu"])


def read_log(task: Task) -> list[str]:
    return (task.folder / "train.log").read_text().splitlines()


def read_step(task: Task) -> int:
    """Return how far a member's checkpoint is; -1 where there is none, as while it starts anew."""
    try:
        return int((task.folder / "last.ckpt").read_text())
    except FileNotFoundError:
        return -1


def when_at(task: Task, step: int, act: Callable[[int, int], object]) -> threading.Thread:
    """Do something to the process of a member, and to its worker's, when it has come to a step."""

    def watch() -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until and read_step(task) < step:
            time.sleep(0.005)
        child, worker = map(int, (task.folder / "process").read_text().split())
        act(child, worker)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def is_alive(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def test_one_that_comes_after_another_waits_and_a_failing_one_takes_only_those_with_it(place: Place, tmp_path: Path):
    first = make_task(tmp_path, "first", 60)  # still running when the others could have ended
    second = make_task(tmp_path, "second", 1, after=("first",))
    bad = make_task(tmp_path, "bad", 1, "--fail")
    (tmp_path / "mine.txt").write_text("mine")
    (first.folder / "train.log").symlink_to(tmp_path / "mine.txt")
    last = make_task(tmp_path, "last", 1, after=("bad",))
    assert train([second, first, last, bad], place, tmp_path) == {"first": 0, "second": 0, "bad": 2, "last": 2}
    assert (second.folder / "member.json").stat().st_mtime_ns > (first.folder / "member.json").stat().st_mtime_ns
    assert not (last.folder / "train.log").exists()
    assert (tmp_path / "mine.txt").read_text() == "mine"  # a link in a log's place leads nowhere
    assert list(tmp_path.glob(".lease*")) == []


class _Scripted(Executor):
    """An engine whose calls end as a table says: with an exit status, or an error; the others never."""

    def __init__(self, ends: Mapping[str, int | Exception]) -> None:
        self._ends = ends

    def submit(self, fn: Call, /, *_: object, **__: object) -> Future[Answer]:  # type: ignore[override]
        future: Future[Answer] = Future()
        end = self._ends.get(Path(fn.item.log).parent.name)
        if isinstance(end, Exception):
            future.set_result(Answer(error=end))
        elif end is not None:
            future.set_result(Answer(Ended(end, "its last line", "host")))
        return future


@pytest.mark.parametrize(
    ("ends", "status", "line"),
    [
        ((0, 130), 130, "leaf: not begun, as leaf, fold 2 of 2 stopped"),
        ((1, 130), 130, "leaf: not begun, as leaf, fold 2 of 2 stopped"),
        ((1, 2), 1, "leaf: not trained, as leaf, fold 1 of 2; leaf, fold 2 of 2 failed"),
        ((2, 0), 2, "leaf: not trained, as leaf, fold 1 of 2 failed"),
    ],
)
def test_what_joins_folds_is_stopped_where_one_was_and_else_ends_as_the_worst(
    ends: tuple[int, int], status: int, line: str, tmp_path: Path, capsys
):
    engine = Engine(2, _Scripted(dict(zip(("fold-0", "fold-1"), ends, strict=True))))
    tasks = list_tasks("leaf", ("toy_member",), tmp_path / "leaf", 2, restart=False)
    assert train(tasks, Place("scripted", engine), tmp_path)["leaf"] == status
    assert line in capsys.readouterr().err.splitlines()


def test_an_error_on_a_worker_is_one_line_and_the_other_members_go_on(tmp_path: Path, capsys):
    full = OSError(errno.ENOSPC, "No space left on device", "train.log")
    engine = Engine(1, _Scripted({"full": full, "odd": ZeroDivisionError("by zero"), "fine": 0}))
    tasks = [make_task(tmp_path, name, 1) for name in ("full", "odd", "fine")]
    assert train(tasks, Place("scripted", engine), tmp_path) == {"full": 2, "odd": 1, "fine": 0}
    told = capsys.readouterr().err
    assert "full: train.log: No space left on device; make room on the disk; what was finished is kept\n" in told
    log = tasks[1].folder / "train.log"
    assert f"odd: failed (ZeroDivisionError: by zero); log: {log}\n" in told
    assert "Traceback" not in told


def test_a_killed_member_goes_on_from_its_checkpoint_and_the_other_is_untouched(place: Place, tmp_path: Path, capsys):
    tasks = [make_task(tmp_path, name, 60) for name in ("killed", "other")]
    watch = when_at(tasks[0], 10, lambda child, _: os.kill(child, signal.SIGKILL))
    assert train(tasks, place, tmp_path) == {"killed": 0, "other": 0}
    watch.join()
    begun = re.findall(r"begun at step (\d+)", "\n".join(read_log(tasks[0])))
    assert begun[0] == "0"
    assert len(begun) == 2
    assert int(begun[1]) >= 10
    assert read_log(tasks[1]) == ["begun at step 0 on cpu", "other: done"]
    assert "killed: its process was killed on" in capsys.readouterr().err


@pytest.mark.parametrize("place", [LOKY, DASK], indirect=True)
def test_the_member_of_a_killed_worker_goes_on_from_its_checkpoint_on_another(place: Place, tmp_path: Path):
    tasks = [make_task(tmp_path, name, 60) for name in ("killed", "other")]
    watch = when_at(tasks[0], 10, lambda _, worker: os.kill(worker, signal.SIGKILL))
    assert train(tasks, place, tmp_path) == {"killed": 0, "other": 0}
    watch.join()
    begun = re.findall(r"begun at step (\d+)", "\n".join(read_log(tasks[0])))
    assert begun[0] == "0"
    assert int(begun[1]) >= 10
    if place.name == "dask-local":  # of loky's processes, none outlives another: the other goes on from its step too
        assert read_log(tasks[1]) == ["begun at step 0 on cpu", "other: done"]


PARENT = """
import sys
from pathlib import Path
from hpa_hier.places.place import open_place
from hpa_hier.training.many.on_place import Task, train_on_place
if __name__ == "__main__":
    place, home, steps, *names = sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]
    tasks = [Task(name, ("toy_member", str(home / name), steps), home / name) for name in names]
    with open_place(place, 2) as opened:
        statuses = train_on_place(tasks, opened, home, ["cpu"])
    print(dict(sorted(statuses.items())))
    sys.exit(max(statuses.values()))
"""


def start_parent(place: str, home: Path, steps: int, names: Sequence[str], **told: int) -> subprocess.Popen[str]:
    """Train members of so many steps on a place in a process of its own."""
    script = home / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(TESTS.parent), str(TESTS)))}
    words = [sys.executable, str(script), place, str(home), str(steps), *names]
    return subprocess.Popen(words, env=environment, text=True, **told)


@pytest.mark.parametrize("name", ["threading", LOKY, DASK])
def test_ctrl_c_has_all_members_save_and_a_second_one_ends_what_does_not_stop(name: str, tmp_path: Path):
    tasks = [make_task(tmp_path, one, 0) for one in ("one", "two", "never")]
    names = [task.name for task in tasks]
    parent = start_parent(name, tmp_path, 100_000, names, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for watch in [when_at(task, 5, lambda *_: None) for task in tasks[:2]]:
        watch.join()
    os.kill(int((tasks[1].folder / "process").read_text().split()[0]), signal.SIGSTOP)
    parent.send_signal(signal.SIGINT)
    until = time.monotonic() + 60
    while is_alive(int((tasks[0].folder / "process").read_text().split()[0])) and time.monotonic() < until:
        time.sleep(0.05)
    parent.send_signal(signal.SIGINT)
    said, told = parent.communicate(timeout=60)
    assert said == "{'one': 130, 'two': 130}\n"
    assert parent.returncode == 130
    assert "one: stopped\n" in told
    for task in tasks[:2]:
        assert not is_alive(int((task.folder / "process").read_text().split()[0]))
        assert int((task.folder / "last.ckpt").read_text()) < 100_000


@pytest.mark.cluster
@pytest.mark.parametrize("name", ["threading", "loky", "dask-local"])
def test_when_the_command_itself_is_killed_members_save_and_it_goes_on_when_typed_again(name: str, tmp_path: Path):
    task = make_task(tmp_path, "one", 0)
    parent = start_parent(name, tmp_path, 100_000, ["one"])
    when_at(task, 5, lambda *_: parent.kill()).join()
    parent.wait(30)
    child = int((task.folder / "process").read_text().split()[0])
    until = time.monotonic() + 60
    while is_alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_alive(child)
    saved = int((task.folder / "last.ckpt").read_text())
    assert 5 <= saved < 100_000
    assert start_parent(name, tmp_path, saved + 5, ["one"]).wait(120) == 0
    assert read_log(task) == [f"begun at step {saved} on cpu", "one: done"]


@pytest.mark.parametrize("place", ["threading"], indirect=True)
def test_a_restart_is_not_repeated_for_what_has_been_trained_since(place: Place, tmp_path: Path):
    task = make_task(tmp_path, "again", 40, once=("--restart",))
    (task.folder / "last.ckpt").write_text("30")
    (task.folder / "member.json").write_text("old")
    os.utime(task.folder / "last.ckpt", (1, 1))
    watch = when_at(task, 31, lambda child, _: os.kill(child, signal.SIGKILL))
    assert train([task], place, tmp_path) == {"again": 0}
    watch.join()
    first, second, last = read_log(task)
    assert first == "begun at step 0 on cpu, anew"
    assert re.fullmatch(r"begun at step 3\d on cpu", second)
    assert last == "again: done"


def test_folds_are_commands_of_their_own_and_what_joins_them_comes_last(tmp_path: Path):
    tasks = list_tasks("leaf", ("train", "--member", "leaf"), tmp_path, 2, restart=True, after=("coarse",))
    assert [(task.name, task.words[-2:], task.once, task.after) for task in tasks] == [
        ("leaf, fold 1 of 2", ("--fold", "1"), ("--restart",), ("coarse",)),
        ("leaf, fold 2 of 2", ("--fold", "2"), ("--restart",), ("coarse",)),
        ("leaf", ("--member", "leaf"), (), ("leaf, fold 1 of 2", "leaf, fold 2 of 2")),
    ]
    assert [task.folder.name for task in tasks] == ["fold-0", "fold-1", tmp_path.name]
