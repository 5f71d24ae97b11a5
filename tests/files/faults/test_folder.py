"""Folders are whole or absent, whenever the process that writes them dies; what was there is never lost."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from hpa_hier.errors import UserError
from hpa_hier.files.faults import folder as module
from hpa_hier.files.faults.folder import is_unfinished, replacing_folder
from hpa_hier.files.lock import lock_folder


def write(path: Path, content: str) -> None:
    with replacing_folder(path) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "a.txt").write_text(content)


def read(path: Path) -> str:
    return (path / "inner" / "a.txt").read_text()


def die_at(path: Path, content: str, moment: int) -> bool:
    """Write a folder in a process that ends right before its n-th renaming; 0: before the folder is whole."""
    child = os.fork()
    if child == 0:
        rename, seen = Path.rename, [0]

        def count(self: Path, target: Path) -> Path:
            seen[0] += 1
            return os._exit(9) if seen[0] == moment else rename(self, target)

        Path.rename = count  # type: ignore[method-assign, assignment]
        module._remove = lambda _: os._exit(9)  # where it is left with what was there before
        try:
            with replacing_folder(path) as folder:
                (folder / "inner").mkdir()
                (folder / "inner" / "a.txt").write_text(content)
                if moment == 0:
                    os._exit(9)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize(("moment", "found"), [(0, "old"), (1, "old"), (2, "old"), (3, "new")])
def test_a_killed_process_leaves_the_old_folder_or_the_new_one(tmp_path: Path, moment: int, found: str) -> None:
    path = tmp_path / "export.v1"
    write(path, "old")
    assert die_at(path, "new", moment)
    seen = []
    with suppress(KeyError), replacing_folder(path):  # whoever is next finds it whole
        seen = [read(path), *sorted(one.name for one in tmp_path.iterdir() if "before" in one.name)]
        raise KeyError
    assert seen == [found]
    write(path, "newer")
    assert read(path) == "newer"
    assert [one.name for one in tmp_path.iterdir()] == ["export.v1"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_what_a_killed_process_had_not_finished_is_removed_by_the_next_one_there(tmp_path: Path) -> None:
    for name in ("export", "export.v1"):
        assert die_at(tmp_path / name, "half", 0)
    write(tmp_path / "other", "whole")
    assert any(".tmp" in one.name for one in tmp_path.iterdir())
    for name in ("export", "export.v1"):
        write(tmp_path / name, "whole")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["export", "export.v1", "other"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_what_was_put_aside_is_not_swept_and_gets_a_name_that_is_seen_where_its_own_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "export"
    write(path, "old")
    assert die_at(path, "new", 2)
    path.mkdir()
    with lock_folder(tmp_path, "sweeping all of"):
        pass
    with pytest.raises(UserError, match=r"export: was made while it was being replaced; what was there .*export-befor"):
        write(path, "newer")
    assert read(tmp_path / "export-before") == "old"


def test_what_was_there_stays_where_another_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, rename = tmp_path / "export", Path.rename
    write(path, "old")

    def meddle(self: Path, target: Path) -> Path:
        moved = rename(self, target)
        if self == path:
            path.mkdir()
            (path / "mine.txt").write_text("of a user")
        return moved

    monkeypatch.setattr(Path, "rename", meddle)
    with pytest.raises(UserError, match=r"export: was made while it was being replaced; what was there .*export-befor"):
        write(path, "new")
    assert (path / "mine.txt").read_text() == "of a user"
    assert read(tmp_path / "export-before") == "old"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["export", "export-before"]


def test_a_second_process_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    with (
        lock_folder(tmp_path, "writing", name="export"),
        pytest.raises(UserError, match="export: another process is writing this folder; wait for it, or name another"),
    ):
        write(tmp_path / "export", "new")


def test_a_folder_is_unfinished_until_its_names_are_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(module, "sync_folder", lambda folder: seen.append(is_unfinished(tmp_path / "exported")))
    with replacing_folder(tmp_path / "exported") as folder:
        (folder / "a").write_text("x")
    assert seen == [False, True]
    assert not is_unfinished(tmp_path / "exported")
    assert [path.name for path in tmp_path.iterdir()] == ["exported"]
