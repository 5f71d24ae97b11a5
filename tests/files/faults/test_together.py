"""Files that belong together are replaced together, wherever the process is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import write_json, write_text
from hpa_hier.files.faults.leftovers import is_temporary
from hpa_hier.files.faults.together import finish, is_left_journal, journal_path, remove_file, together
from hpa_hier.files.lock import lock_folder, settle


class Killed(BaseException):
    """Stands in for a kill: nothing may tidy up after it, so that tests make what it leaves."""


def write_two(folder: Path, word: str) -> None:
    with together(folder):
        write_text(folder / "a.csv", word)
        write_json(folder / "b.json", {"word": word})
        remove_file(folder / "c.npz")


def read_two(folder: Path) -> tuple[str, str, bool]:
    kept = json.loads((folder / "b.json").read_text())["word"]
    return (folder / "a.csv").read_text(), kept, (folder / "c.npz").exists()


def test_nothing_changes_where_writing_fails(tmp_path: Path) -> None:
    write_two(tmp_path, "old")
    (tmp_path / "c.npz").touch()

    def fail() -> None:
        with together(tmp_path):
            write_text(tmp_path / "a.csv", "new")
            remove_file(tmp_path / "c.npz")
            assert read_two(tmp_path) == ("old", "old", True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert read_two(tmp_path) == ("old", "old", True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.json", "c.npz"]


@pytest.mark.parametrize("renamed", [0, 1, 2])
def test_who_holds_the_lock_next_finishes_what_a_killed_process_had_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renamed: int
) -> None:
    write_two(tmp_path, "old")
    (tmp_path / "c.npz").touch()
    real, count = Path.replace, 0

    def replace(self: Path, target: Path) -> Path:
        nonlocal count
        count += target.name in ("a.csv", "b.json")
        if count > renamed:
            raise Killed
        return real(self, target)

    def unlink(self: Path, missing_ok: bool = False) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        if renamed == 2:
            patch.setattr(Path, "unlink", unlink)
        with pytest.raises(Killed):
            write_two(tmp_path, "new")
    assert journal_path(tmp_path).exists()
    with lock_folder(tmp_path, "writing into") as fresh:
        assert not fresh
        assert read_two(tmp_path) == ("new", "new", False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "a.csv", "b.json"]


def test_a_reader_has_it_finished_and_is_told_where_files_are_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpa_hier.files.faults import together as module

    with monkeypatch.context() as patch:
        patch.setattr(module, "finish", lambda *_: False)
        write_two(tmp_path, "new")
    assert not (tmp_path / "a.csv").exists()
    settle(tmp_path)
    assert read_two(tmp_path) == ("new", "new", False)
    assert not journal_path(tmp_path).exists()


@pytest.mark.parametrize("change", ["name", "checksum", "kind"])
def test_a_journal_that_leads_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    from hpa_hier.files.faults import together as module

    with monkeypatch.context() as patch:
        patch.setattr(module, "finish", lambda *_: False)
        write_two(tmp_path / "folder", "new")
    path = journal_path(tmp_path / "folder")
    journal = json.loads(path.read_text())
    if change == "name":
        journal["ready"] = {"../a.csv": journal["ready"]["a.csv"]}
        journal["checksum"] = module._checksum(journal["ready"], journal["removed"])
    elif change == "checksum":
        journal["removed"] = ["a.csv"]
    path.write_text("[]" if change == "kind" else json.dumps(journal))
    with pytest.raises(UserError, match=r"\.replacing\.json: is damaged; remove it and run the command"):
        finish(tmp_path / "folder")
    assert not (tmp_path / "a.csv").exists()


def leave_journal(folder: Path, word: str, name: str, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Leave what a process leaves that was killed before its first renaming; return its temporary files."""
    from hpa_hier.files.faults import leftovers
    from hpa_hier.files.faults import together as module

    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with monkeypatch.context() as patch:
        patch.setattr(module, "finish", lambda *_: False)
        patch.setattr(leftovers.os, "getpid", lambda: dead.pid)
        with together(folder, name):
            write_text(folder / f"{name}.csv", word)
    return [path for path in folder.iterdir() if is_temporary(path.name)]


def test_what_a_journal_of_another_name_needs_is_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [waiting] = leave_journal(tmp_path, "new", "split", monkeypatch)
    other = waiting.with_name(waiting.name.replace("split", "other"))
    other.touch()
    with lock_folder(tmp_path, "writing into"):
        assert waiting.exists()
        assert not other.exists()
    other.touch()
    journal = journal_path(tmp_path, "split")
    whole = journal.read_text()
    journal.write_text(whole[:-9])
    with lock_folder(tmp_path, "writing into"):
        assert waiting.exists()
        assert other.exists()  # it might be one that the journal has
    journal.write_text(whole)
    settle(tmp_path, name="split")
    assert (tmp_path / "split.csv").read_text() == "new"


def test_a_journal_whose_files_are_gone_is_told_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [waiting] = leave_journal(tmp_path, "new", "split", monkeypatch)
    waiting.unlink()
    with pytest.raises(UserError, match=r"split\.csv was to be replaced .* gone; remove \.split\.replacing\.json"):
        settle(tmp_path, name="split")
    assert journal_path(tmp_path, "split").exists()
    (tmp_path / "split.csv").write_text("new")  # as where the process was killed after its renaming
    settle(tmp_path, name="split")
    assert not journal_path(tmp_path, "split").exists()


def test_what_another_process_had_ready_is_finished_before_a_journal_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_journal(tmp_path, "theirs", "split", monkeypatch)
    with together(tmp_path, "split"):
        write_text(tmp_path / "more.csv", "ours")
    assert (tmp_path / "split.csv").read_text() == "theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["more.csv", "split.csv"]


def test_a_journal_that_is_a_device_is_not_read(tmp_path: Path) -> None:
    journal_path(tmp_path).symlink_to("/dev/zero")
    assert is_left_journal(journal_path(tmp_path))
