"""SLURM as a place: a real one of one node where it is installed, and submitit's own processes elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from one_node_slurm import run_slurm
from place_tasks import die_once, square

from hpa_hier.errors import UserError
from hpa_hier.files.faults.leftovers import name_temporary
from hpa_hier.places.on_slurm import ask_queue, open_slurm
from hpa_hier.places.place import Place, open_place

pytestmark = pytest.mark.cluster
pytest.importorskip("submitit")
TESTS = str(Path(__file__).resolve().parents[1])


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with run_slurm(tmp_path_factory.mktemp("slurm") / "one"):
        yield


@pytest.fixture(autouse=True)
def shared_folder(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", TESTS)


@pytest.mark.usefixtures("slurm")
def test_jobs_answer_in_order_a_killed_one_is_handed_over_again_and_no_file_is_left(tmp_path: Path, capsys):
    (tmp_path / "marks").mkdir()
    with open_place("slurm", 2) as place:
        assert list(place.map(square, range(3))) == [0, 1, 4]
        assert list(place.map(partial(die_once, tmp_path / "marks"), [2, 3])) == [2, 3]
    assert "3: its worker was lost (ChildProcessError: SLURM job " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["marks"]
    assert ask_queue(["99999_0"]) == {}


def test_without_slurm_or_a_number_of_jobs_it_is_told_what_to_do(monkeypatch):
    with pytest.raises(UserError, match=r"say how many jobs"), open_slurm(None, "local"):
        pass
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(UserError, match=r"there is no sbatch here"), open_place("slurm", 2):
        pass


def test_submitits_own_processes_answer_in_order_and_what_a_killed_command_left_is_removed(tmp_path: Path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    name = name_temporary(tmp_path / "slurm").name
    (tmp_path / name.replace(f".{os.getpid()}-", f".{dead.pid}-")).mkdir()
    with open_slurm(2, "local") as engine:
        (folder,) = tmp_path.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert list(Place("slurm", engine).map(square, range(3))) == [0, 1, 4]
    assert list(tmp_path.iterdir()) == []
