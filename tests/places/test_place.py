"""Places: the same answers in order everywhere, and what a dead worker lost is called again."""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from concurrent.futures import Executor, Future
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from threading import Event
from types import ModuleType

import pytest
from place_tasks import answer_much, die, die_once, fail, square

from hpa_hier.errors import UserError
from hpa_hier.places import call as calls
from hpa_hier.places.call import Answer, Call, Ground
from hpa_hier.places.engine import Engine
from hpa_hier.places.place import Place, check_place, open_place

ENGINES = ["threading", "loky", "dask-local"]


@pytest.fixture(scope="module", params=ENGINES)
def place(request):
    with open_place(request.param, 2) as opened:
        yield opened


def test_answers_come_in_the_order_of_the_items(place: Place):
    assert place.workers == 2
    assert list(place.map(square, range(40))) == [number * number for number in range(40)]
    assert list(place.map(square, [])) == []


def test_items_are_taken_as_answers_are_and_not_all_at_once(place: Place):
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    answers = place.map(square, items())
    assert [next(answers) for _ in range(3)] == [0, 1, 4]
    assert len(taken) == 4 * place.workers + 3
    answers.close()


def test_a_users_mistake_on_a_worker_is_one_here(place: Place):
    with pytest.raises(UserError, match=r"^what went wrong$"):
        list(place.map(partial(fail, UserError), range(4)))


def test_a_bug_on_a_worker_names_its_item(place: Place):
    with pytest.raises(KeyError, match="what went wrong") as raised:
        list(place.map(partial(fail, KeyError), range(4), name=lambda number: f"item {number}"))
    assert raised.value.__notes__ == ["raised for item 2"]


@pytest.mark.parametrize("place", ["loky", "dask-local"], indirect=True)
def test_what_a_killed_worker_lost_is_called_again(place: Place, tmp_path: Path, capsys):
    assert list(place.map(partial(die_once, tmp_path), range(9), str)) == list(range(9))
    assert (tmp_path / "3").read_text() == "2"
    assert re.search(r"^3: its worker was lost \(\w+.*\); once more on another worker$", capsys.readouterr().err, re.M)


@pytest.mark.parametrize("place", ["loky", pytest.param("dask-local", marks=pytest.mark.cluster)], indirect=True)
def test_an_item_that_kills_every_worker_is_named_and_no_other_is(place: Place):
    wanted = f"^--backend {place.name}: item 2 was lost 3 times, the last time because its worker was lost .*kept"
    with pytest.raises(UserError, match=wanted):
        list(place.map(die, range(4), name=lambda number: f"item {number}"))
    assert list(place.map(square, range(3))) == [0, 1, 4]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_workers_end_with_their_place_whatever_they_are_about_to_answer(tmp_path: Path):
    with open_place("loky", 2) as place:
        answers = place.map(partial(answer_much, tmp_path), range(60))
        next(answers)
        answers.close()
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert workers
    until = time.monotonic() + 20
    while (left := [one for one in workers if runs(one)]) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == []


def runs(process: int) -> bool:
    """Return whether a process is there that has not ended."""
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "ZX"


def test_a_worker_with_another_version_or_without_the_folder_says_so(tmp_path: Path):
    ground = Ground.here(moves=False)
    assert Call(square, 3, ground)() == Answer(9)
    host = socket.gethostname()
    for other, wanted in (
        (
            Ground(ground.folder, "0.0", moves=False),
            rf"worker on {host}: has hpa_hier \S+, and this process 0\.0; install",
        ),
        (
            Ground(str(tmp_path / "gone"), ground.version, moves=False),
            f"worker on {host}: does not see the folder .*gone",
        ),
    ):
        error = Call(square, 3, other)().error
        assert isinstance(error, UserError)
        assert re.match(wanted, str(error))


def test_what_may_succeed_elsewhere_is_called_three_times(capsys):
    tried = []

    def lose(number: int) -> int:
        tried.append(number)
        raise calls.WorkerLost("the machine was taken away")

    with (
        open_place("threading", 1) as place,
        pytest.raises(UserError, match=r"5 was lost 3 times.*taken away; what was"),
    ):
        list(place.map(lose, [5]))
    assert tried == [5, 5, 5]
    assert capsys.readouterr().err.count("once more") == 2


class _Broken(Executor):
    """An engine whose workers all die."""

    def submit(self, fn: object, /, *_: object, **__: object) -> Future[Answer]:  # type: ignore[override]
        future: Future[Answer] = Future()
        future.set_exception(ConnectionError("gone"))
        return future


def test_a_call_that_is_made_alone_holds_up_no_other():
    gate = Event()

    def call_alone(call: Call) -> Answer:
        assert call.item or gate.wait(60)
        return call()

    place = Place("broken", Engine(2, _Broken(), call_alone=call_alone))
    slow, quick = (place.submit(square, number, str(number)) for number in (0, 3))
    assert quick.result(60) == 9
    assert not slow.done()
    gate.set()
    assert slow.result(60) == 0
    place.close()


EXTRAS = [
    ("dask-local", "distributed", "dask"),
    ("dask://127.0.0.1:1", "distributed", "dask"),
    ("ray", "ray", "ray"),
    ("slurm", "submitit", "slurm"),
]


@pytest.mark.parametrize(("name", "module", "extra"), EXTRAS)
def test_a_missing_package_is_asked_for_by_its_extra(name: str, module: str, extra: str, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    wanted = rf"--backend {name}: needs {module}; `pip install 'hpa-hier\[{extra}\]'`"
    with pytest.raises(UserError, match=wanted):
        check_place(name, 1)
    with pytest.raises(UserError, match=wanted), open_place(name, 1):
        pass


def test_jobs_of_slurm_are_counted_before_anything_is_done_for_them(monkeypatch):
    submitit = ModuleType("submitit")
    submitit.__spec__ = ModuleSpec("submitit", None)
    monkeypatch.setitem(sys.modules, "submitit", submitit)
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(UserError, match=r"--backend slurm: there is no sbatch here; start this on a machine that"):
        check_place("slurm", 8)
    monkeypatch.setattr("shutil.which", lambda program: f"/usr/bin/{program}")
    with pytest.raises(UserError, match=r"--backend slurm: say how many jobs may run at a time, as in --jobs 8"):
        check_place("slurm")
    check_place("slurm", 8)


def test_a_scheduler_that_does_not_answer_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr("hpa_hier.places.on_dask._WAIT", 0.2)
    wanted = r"--backend dask://127\.0\.0\.1:1: no Dask scheduler answers there"
    with pytest.raises(UserError, match=wanted), open_place("dask://127.0.0.1:1"):
        pass
