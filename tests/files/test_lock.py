"""Locks: a folder is worked in by one process at a time, and the second is told what the first does."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpa_hier.errors import UserError
from hpa_hier.files.lock import lock_folder


def test_a_second_worker_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with (
        lock_folder(folder, "packing into"),
        pytest.raises(UserError, match=r"out: another process is packing into this folder; wait for it, or name"),
        lock_folder(folder, "packing into", Path("out")),
    ):
        pass
    with lock_folder(folder, "packing into"):
        assert (folder / ".lock").exists()


def test_a_place_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=r"--out .*file: cannot be written to \(File exists\); name another folder"),
        lock_folder(tmp_path / "file", "packing into"),
    ):
        pass
