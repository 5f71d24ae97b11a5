"""Walking a folder: what is entered, what is left aside, and links."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpa_hier.data.images.walk import walk
from hpa_hier.errors import UserError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def shown(found) -> list[str]:
    return [file.shown for file in found.files]


def test_sub_folders_are_entered_at_any_depth_in_order(tmp_path):
    touch(tmp_path / "b.png", tmp_path / "plate2" / "A01" / "x.png", tmp_path / "plate1" / "A02" / "deep" / "x.TIF")
    assert shown(walk(tmp_path)) == ["b.png", "plate1/A02/deep/x.TIF", "plate2/A01/x.png"]


def test_junk_and_the_package_s_own_folders_are_left_aside_and_named(tmp_path):
    touch(tmp_path / "a.png", tmp_path / "Thumbs.db", tmp_path / "._a.png", tmp_path / ".DS_Store")
    touch(tmp_path / "__MACOSX" / "a.png", tmp_path / ".trash" / "a.png", tmp_path / "answers" / "predictions.csv")
    touch(tmp_path / "pack" / "pack.json", tmp_path / "pack" / "a.png", tmp_path / "artifacts" / "run1" / "run.json")
    touch(tmp_path / "artifacts" / "run1" / "figures" / "a.png")
    found = walk(tmp_path)
    assert shown(found) == ["a.png"]
    assert sorted(found.ignored) == sorted(
        [".DS_Store", "._a.png", ".trash/", "Thumbs.db", "__MACOSX/", "answers/", "artifacts/run1/", "pack/"]
    )


def test_masks_are_left_aside_beside_simulated_images_only(tmp_path):
    touch(tmp_path / "simulated" / "simulated.json", tmp_path / "simulated" / "masks" / "a.png")
    touch(tmp_path / "real" / "masks" / "b.png")
    found = walk(tmp_path)
    assert (shown(found), found.ignored) == (["real/masks/b.png"], ["simulated/simulated.json", "simulated/masks/"])


def test_links_are_taken_where_they_are_asked_for(tmp_path):
    touch(tmp_path / "store" / "plate1" / "a.png", tmp_path / "store" / "b.png")
    farm = tmp_path / "farm"
    farm.mkdir()
    (farm / "plate").symlink_to(tmp_path / "store" / "plate1")
    (farm / "b.png").symlink_to(tmp_path / "store" / "b.png")
    left = walk(farm)
    assert [file.fault for file in left.files] == [
        f"a link that leaves the folder, to {tmp_path}/store/b.png; --follow-links reads it"
    ]
    assert [file.fault for file in left.closed] == [
        f"a link to the folder {tmp_path}/store/plate1; --follow-links reads it"
    ]
    taken = walk(farm, follow_links=True)
    assert [(file.shown, file.fault) for file in taken.files] == [("b.png", None), ("plate/a.png", None)]
    assert taken.closed == []


def test_a_link_to_a_folder_that_is_entered_anyway_is_left_aside(tmp_path):
    touch(tmp_path / "plate1" / "a.png")
    (tmp_path / "latest").symlink_to("plate1")
    found = walk(tmp_path)
    assert (shown(found), found.closed, found.ignored) == (["plate1/a.png"], [], ["latest/"])
    assert shown(walk(tmp_path, follow_links=True)) == ["plate1/a.png"]
    assert shown(walk(tmp_path / "latest")) == ["a.png"]


def test_a_loop_of_links_ends_and_each_folder_is_entered_once(tmp_path):
    touch(tmp_path / "a" / "x.png", tmp_path / "b" / "y.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "to_b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "to_a").symlink_to(tmp_path / "a")
    found = walk(tmp_path, follow_links=True)
    assert sorted(file.path.name for file in found.files) == ["x.png", "y.png"]


def test_an_absent_folder_is_an_error_and_an_unreadable_one_below_is_listed(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"absent: cannot be read as a folder of images \(No such file or directory\)"):
        walk(tmp_path / "absent")
    touch(tmp_path / "a.png", tmp_path / "shut" / "b.png")
    whole = __import__("os").scandir

    def scandir(path):
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied")
        return whole(path)

    monkeypatch.setattr("hpa_hier.data.images.walk.os.scandir", scandir)
    found = walk(tmp_path)
    assert shown(found) == ["a.png"]
    assert [(one.path.name, one.fault) for one in found.closed] == [
        ("shut", "cannot be read as a folder of images (Permission denied)")
    ]
