"""Workers know of each other by locks, which the system frees."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpa_hier.errors import UserError
from hpa_hier.predict.shards.workers import Workers, drop_lock, try_lock


def test_a_worker_counts_those_that_are_alive_and_removes_what_dead_ones_left(tmp_path: Path) -> None:
    one, two = Workers(tmp_path, tmp_path), Workers(tmp_path, tmp_path)
    (tmp_path / "workers" / "dead.lock").touch()
    (tmp_path / "workers" / "dead.planned").touch()
    assert (one.count_others(), one.count_others(planned=True)) == (1, 0)
    two.note_plan()
    assert (one.count_others(planned=True), two.count_others(planned=True)) == (1, 0)
    two.leave()
    assert one.count_others() == 0
    assert len(list((tmp_path / "workers").iterdir())) == 1


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
        Workers(tmp_path / "file" / ".predict.partial", tmp_path / "file")
