"""Workers know of each other by locks, which the system frees."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from hpa_hier.errors import UserError
from hpa_hier.predict.shards.workers import Workers, drop_lock, try_lock


def work(folder: Path) -> Workers:
    """Return one who works there."""
    workers = Workers(folder, folder)
    with workers.alone():
        workers.join()
    return workers


def test_a_worker_counts_those_that_are_alive_and_removes_what_dead_ones_left(tmp_path: Path) -> None:
    one, two = work(tmp_path), work(tmp_path)
    (tmp_path / "workers" / "dead.lock").touch()
    (tmp_path / "workers" / "dead.planned").touch()
    assert (one.count_others(), one.count_others(planned=True)) == (1, 0)
    two.note_plan()
    assert (one.count_others(planned=True), two.count_others(planned=True)) == (1, 0)
    two.leave()
    assert one.count_others() == 0
    assert len(list((tmp_path / "workers").glob("*.lock"))) == 1


def test_a_lock_is_one_process_s_until_it_is_dropped(tmp_path: Path) -> None:
    lock = try_lock(tmp_path / "a.lock")
    assert lock is not None
    assert try_lock(tmp_path / "a.lock") is None
    drop_lock(lock)
    again = try_lock(tmp_path / "a.lock")
    assert again is not None
    again.release()
    assert try_lock(tmp_path / "gone" / "a.lock") is None


def test_a_folder_that_cannot_be_made_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--out .*: cannot be written to \(Not a directory\); name another folder"):
        work(tmp_path / "file" / ".predict.partial")


def test_nobody_is_taken_for_dead_while_he_comes_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Workers(tmp_path, tmp_path), Workers(tmp_path, tmp_path)
    with first.alone():
        monkeypatch.setattr("hpa_hier.predict.shards.workers._DOOR", 0.1)  # seconds
        told = pytest.raises(UserError, match=r"another process has been preparing there for 0 s; end it")
        with told, second.alone():  # where alone it may make the file of its lock
            second.join()
        assert list((tmp_path / "workers").iterdir()) == [tmp_path / "workers" / "door"]


def test_who_comes_in_while_the_folder_is_removed_has_it_to_himself(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    one, two = work(folder), Workers(folder, folder)
    with one.alone():
        one.leave()
        (folder / "00000000.npz").touch()
        one.remove()
        assert not folder.exists()
        with two.alone():  # which is another door than the one that was removed
            two.join()
            (folder / "manifest.json").touch()
    assert two.count_others() == 0
    assert (folder / "manifest.json").exists()


@pytest.mark.parametrize("error", [OSError(95, "Operation not supported"), NotImplementedError("no flock")])
def test_a_file_system_without_locks_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def acquire(lock: FileLock) -> None:
        raise error

    monkeypatch.setattr(FileLock, "acquire", acquire)
    why = r"door: cannot be locked \((Operation not supported|no locks there)\); name a folder on another file system"
    with pytest.raises(UserError, match=why):
        work(tmp_path)
