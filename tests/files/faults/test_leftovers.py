"""Leftovers of processes that are no more are removed, and only these."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

from hpa_hier.files.faults import leftovers
from hpa_hier.files.faults.leftovers import is_temporary, name_temporary, sweep


def test_the_file_of_a_dead_process_is_removed_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    own = name_temporary(tmp_path / "a.csv")
    of_parent = tmp_path / own.name.replace(str(os.getpid()), str(os.getppid()), 1)
    left = tmp_path / own.name.replace(str(os.getpid()), str(dead.pid), 1)
    for path in (own, of_parent, left, tmp_path / ".a.csv", tmp_path / ".a.1-zzzzzzzz.tmp", tmp_path / "a.tmp.csv"):
        path.write_text("x")
    sweep(tmp_path, "b")
    assert left.exists()
    sweep(tmp_path)
    assert not left.exists()
    assert len(list(tmp_path.iterdir())) == 5


def test_another_machine_s_file_stays_for_an_hour(tmp_path: Path, monkeypatch) -> None:
    path = name_temporary(tmp_path / "a.csv")
    path.write_text("x")
    monkeypatch.setattr(leftovers, "_machine", lambda: "0000")
    sweep(tmp_path)
    assert path.exists()
    os.utime(path, (0, 0))
    sweep(tmp_path)
    assert not path.exists()


def test_a_container_s_file_stays_though_it_has_the_machine_s_name_and_its_process_is_none_here(tmp_path: Path) -> None:
    apart = ["unshare", "--pid", "--fork", "--mount-proc"]
    if which("unshare") is None or subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no right to make a process space")
    code = "from hpa_hier.files.faults.leftovers import *; print(name_temporary(Path('a')).name)"
    done = subprocess.run([*apart, sys.executable, "-c", code], capture_output=True, text=True, check=True)
    path = tmp_path / done.stdout.strip().replace(".a.1-", ".a.4194305-")  # a number that no process here has
    path.write_text("x")
    sweep(tmp_path)
    assert path.exists()


def test_names_of_users_are_none(tmp_path: Path) -> None:
    assert not any(map(is_temporary, (".x.tmp", "x.12-abcdef12.tmp.csv", ".x.12-abcdef1.tmp", ".bash_history")))
    sweep(tmp_path / "no such folder")


def test_a_folder_of_a_dead_process_is_removed_too(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    name = name_temporary(tmp_path / "exported").name
    left = tmp_path / name.replace(str(os.getpid()), str(dead.pid), 1)
    for folder in (left, tmp_path / name, tmp_path / "exported"):
        folder.mkdir()
        (folder / "a").write_text("x")
    sweep(tmp_path, "exported")
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "exported"]


def test_a_device_in_the_place_of_a_journal_is_not_read(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / name_temporary(tmp_path / "a.csv").name.replace(str(os.getpid()), str(dead.pid), 1)
    left.write_text("x")
    (tmp_path / ".replacing.json").symlink_to("/dev/zero")
    sweep(tmp_path)
    assert not left.exists()
