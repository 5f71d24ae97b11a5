"""Marks of begun folders: what a killed process left may be replaced, and nothing else."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from hpa_hier.files.atomic import write_text
from hpa_hier.files.faults.begun import begin, is_begun, is_finished
from hpa_hier.files.faults.together import together
from hpa_hier.files.lock import lock_folder


def _die_in(folder: Path, content: str) -> None:
    child = os.fork()
    if not child:
        with begin(folder, "table.csv"):
            (folder / "table.csv").write_text(content)
            os._exit(0)  # as a signal ends it
    os.waitpid(child, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is killed")
def test_what_a_killed_process_left_may_be_replaced_and_is_not_begun_afterwards(tmp_path: Path) -> None:
    _die_in(tmp_path / "out", "half")
    assert is_begun(tmp_path / "out")
    with begin(tmp_path / "out", "table.csv") as resumed:
        assert resumed
    with begin(tmp_path / "out", "table.csv") as resumed:
        assert resumed  # the mark of the dead one goes with the folder's lock, which sweeps


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is killed")
def test_what_was_there_before_a_killed_process_stays(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a user's")
    _die_in(tmp_path, "another")
    assert not is_begun(tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process ends")
@pytest.mark.parametrize("written", ["", "table.csv", ".replacing.json"])
def test_what_a_failed_process_left_may_be_replaced_once_it_has_ended(tmp_path: Path, written: str) -> None:
    out = tmp_path / "out"
    child = os.fork()
    if not child:
        try:
            with begin(out, "table.csv"):
                if written:
                    (out / written).touch()
                raise OSError(errno.EIO, "the disk fails")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert is_begun(out) == bool(written)
    assert out.exists() == bool(written)


def test_a_folder_is_not_begun_for_others_while_its_process_lives(tmp_path: Path) -> None:
    with begin(tmp_path / "a" / "out", "table.csv") as resumed:
        assert not resumed
        assert not is_begun(tmp_path / "a" / "out")
        (marked,) = (tmp_path / "a" / "out").iterdir()
        assert marked.name.startswith(".begun.")
    assert list(tmp_path.iterdir()) == []  # nothing was written into it


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is killed")
@pytest.mark.parametrize("marked", [False, True], ids=["journal", "mark"])
def test_a_file_of_a_killed_process_is_not_finished_until_what_belongs_to_it_is(tmp_path: Path, marked: bool) -> None:
    out = tmp_path / "out"

    def write() -> None:
        with together(out):
            write_text(out / "table.csv", "whole")
            write_text(out / "other.csv", "whole")

    assert not is_finished(out / "table.csv")
    child = os.fork()
    if not child:
        if marked:
            with begin(out, "table.csv"):
                write()
                os._exit(0)  # as a signal ends it
        real = Path.replace
        Path.replace = lambda self, to: os._exit(0) if to.name == "other.csv" else real(self, to)  # type: ignore
        write()
    os.waitpid(child, 0)
    assert (out / "table.csv").read_text() == "whole"
    assert (out / "other.csv").exists() == marked
    assert not is_finished(out / "table.csv")
    with begin(out, "table.csv"), lock_folder(out, "writing into"):
        write()
    assert is_finished(out / "table.csv")
    with begin(out, "free.csv"):
        assert is_finished(out / "table.csv")  # while its process lives
