"""Scanning: which files are one sample, and what it is called."""

from __future__ import annotations

import copy
import tracemalloc

import numpy as np
import pytest
from image_folders import CHANNELS, planes, write, write_sample

from hpa_hier.data.images.planes import Plane
from hpa_hier.data.images.read import read_image
from hpa_hier.data.images.scan import scan
from hpa_hier.errors import UserError

RGB = np.zeros((8, 8, 3), np.uint8)


def ids(folder, channels=None) -> dict[str, str]:
    """Return the folder of each sample by its id."""
    found = scan(folder, channels)
    assert found.rejects == ()
    return {source.id: source.folder for source in found.sources}


def test_a_name_that_is_the_only_one_is_the_id_whatever_folder_it_is_in(tmp_path):
    for place in ("Golgi/a.png", "Golgi/b.png", "ER/deep/c.png", "d.png"):
        write(tmp_path / place, RGB)
    assert ids(tmp_path) == {"a": "Golgi", "b": "Golgi", "c": "ER/deep", "d": ""}


def test_samples_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for plate in ("plate1", "plate2"):
        write_sample(tmp_path / plate / "A01", "f1")
    write(tmp_path / "plate2" / "A02" / "f9.png", RGB)
    write(tmp_path / "f1.png", RGB)
    expected = {"plate1_A01_f1": "plate1/A01", "plate2_A01_f1": "plate2/A01", "f9": "plate2/A02", "f1": ""}
    assert ids(tmp_path) == expected


def test_two_samples_that_would_have_one_id_are_both_refused(tmp_path):
    for place in ("a/b_c/x.png", "a_b/c/x.png"):
        write(tmp_path / place, RGB)
    found = scan(tmp_path)
    assert found.sources == ()
    assert {reject.reason for reject in found.rejects} == {
        "the id a_b_c_x would be that of a/b_c/x too; rename one",
        "the id a_b_c_x would be that of a_b/c/x too; rename one",
    }


@pytest.mark.parametrize(
    "folder",
    [
        "{channel}/plate1",
        "plate1/{channel}",
        "plate1_{channel}",
    ],
)
def test_the_channels_of_a_sample_may_have_a_folder_each(tmp_path, folder):
    made = planes(0)
    for channel, plane in made.items():
        write(tmp_path / folder.format(channel=channel) / "a.png", plane)
    assert ids(tmp_path) == {"a": "plate1"}
    image = read_image(scan(tmp_path).sources[0], 32, CHANNELS, "depth").image
    np.testing.assert_array_equal(image, np.stack([made[c] for c in CHANNELS]))


def test_folders_of_stains_are_channels_where_the_protein_has_one(tmp_path):
    for stain in ("Tubulin", "protein", "DAPI"):
        write(tmp_path / stain / "a.png", planes(0)["red"])
    assert set(scan(tmp_path).sources[0].planes) == {"red", "green", "blue"}


def test_folders_of_places_are_classes_though_a_stain_is_called_so_too(tmp_path):
    for place in ("Nucleus", "Microtubules", "Golgi"):
        write(tmp_path / place / f"{place}1.png", RGB)
    assert ids(tmp_path) == {"Golgi1": "Golgi", "Microtubules1": "Microtubules", "Nucleus1": "Nucleus"}


def test_folders_of_stains_whose_files_say_the_stain_too(tmp_path):
    for stain in ("GFP", "DAPI", "brightfield"):
        for name in ("a", "b"):
            write(tmp_path / "exp_GFP" / stain / f"{name}_{stain}.png", planes(0)["red"])
    found = scan(tmp_path)
    assert {source.id: set(source.planes) for source in found.sources} == {name: {"green", "blue"} for name in "ab"}
    assert found.sources[0].folder == "exp_GFP"
    assert found.ignored == tuple(f"exp_GFP/brightfield/{name}_brightfield.png" for name in "ab")


def test_folders_of_stains_that_may_be_several_channels_are_asked_about(tmp_path):
    for stain in ("GFP", "DAPI", "Cy3"):
        write(tmp_path / stain / "a.png", planes(0)["red"])
    (reject,) = scan(tmp_path).rejects
    assert reject.reason.startswith("Cy3 may be microtubules, the protein or the endoplasmic reticulum; say")
    assert set(scan(tmp_path, "green=GFP,blue=DAPI,red=Cy3").sources[0].planes) == {"red", "green", "blue"}


@pytest.mark.parametrize("places", [("Nucleus", "Microtubules", "ER"), ("GFP_1", "GFP_2"), ("control", "GFP")])
def test_folders_whose_files_are_called_alike_may_be_classes_and_plates(tmp_path, places):
    for place in places:
        write(tmp_path / place / "1.png", RGB)
    assert ids(tmp_path) == {f"{place}_1": place for place in places}


def test_folders_that_the_user_names_are_channels(tmp_path):
    for name in ("c0", "c1"):
        write(tmp_path / name / "a.png", planes(0)["red"])
    assert set(scan(tmp_path, "red=c1,green=C0").sources[0].planes) == {"red", "green"}
    for name in ("c0", "c1"):
        (tmp_path / name).rename(tmp_path / f"plate1_{name}")
    found = scan(tmp_path, "red=c1,green=C0")
    assert [(source.id, source.folder, set(source.planes)) for source in found.sources] == [
        ("a", "plate1", {"red", "green"})
    ]
    assert found.notes == ("c0 was taken for green (the protein), c1 for red (microtubules)",)


def test_a_file_named_as_one_channel_in_the_folder_of_another_is_refused(tmp_path):
    write(tmp_path / "green" / "a_green.png", planes(0)["green"])
    write(tmp_path / "green" / "b_red.png", planes(0)["red"])
    found = scan(tmp_path)
    assert [source.id for source in found.sources] == ["a"]
    assert [reject.reason for reject in found.rejects] == ["named channel red, in the folder of channel green"]


def test_files_of_one_name_in_several_folders_are_told_apart_too(tmp_path):
    files = [write(tmp_path / plate / "a.png", RGB) for plate in ("p1", "p2")]
    assert [source.id for source in scan(files).sources] == ["p1_a", "p2_a"]


def test_the_folders_of_samples_and_what_is_left_aside_are_said(tmp_path):
    for place in ("p1/a.png", "p2/b.png", "c.png"):
        write(tmp_path / place, RGB)
    for name in (".DS_Store", "labels.csv", "p1/Thumbs.db"):
        (tmp_path / name).write_bytes(b"")
    assert scan(tmp_path).notes == (
        "samples are in 3 folders: p1, p2, the folder itself",
        "left aside, as no images of samples: labels.csv, p1/Thumbs.db",
    )


@pytest.mark.parametrize("given", ["one", "pattern", "list", "folders"])
def test_a_file_a_pattern_and_several_of_them_are_taken_like_a_folder(tmp_path, given):
    for plate, name in (("p1", "a"), ("p1", "b"), ("p2", "a")):
        write(tmp_path / plate / f"{name}.png", RGB)
    (tmp_path / "p1" / "labels.csv").write_text("Id,Target\n")
    images, expected = {
        "one": (tmp_path / "p1" / "a.png", ["a"]),
        "pattern": (tmp_path / "p*" / "*", ["b", "p1_a", "p2_a"]),
        "list": ([str(tmp_path / "p1" / "a.png"), str(tmp_path / "p1" / "b.png")], ["a", "b"]),
        "folders": ([tmp_path / "p1", tmp_path / "p2"], ["b", "p1_a", "p2_a"]),
    }[given]
    assert [source.id for source in scan(images).sources] == expected


def test_a_file_of_one_channel_stands_for_its_sample(tmp_path):
    for sample in ("a", "b"):
        write_sample(tmp_path, sample)
    (source,) = scan(tmp_path / "a_green.png").sources
    assert (source.id, set(source.planes)) == ("a", set(CHANNELS))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("absent.png", "absent.png: no such file or folder; check the path"),
        ("x*.png", r"x\*.png: no file fits this pattern; check it with ls"),
        ("notes.txt", "notes.txt: no image; PNG, JPEG, TIFF and OME-Zarr are read"),
    ],
)
def test_what_is_no_image_is_an_error(tmp_path, images, message):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UserError, match=message):
        scan(tmp_path / images)


def test_little_is_kept_of_each_of_many_samples(tmp_path):
    count, names = 500, ("red", "green", "blue", "yellow")
    for k in range(count):
        for name in names:
            (tmp_path / f"a-long-identifier-of-a-sample-{k:04d}_{name}.png").write_bytes(b"not looked into")
    scan(tmp_path)  # what is kept once, whatever the number of samples
    tracemalloc.start()
    found = scan(tmp_path)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.sources) == count
    assert kept < 800 * count  # bytes; paths of four files are 2,000


def test_planes_of_a_scan_are_a_mapping_by_channel(tmp_path):
    for folder in ("red", "green"):
        write(tmp_path / folder / "a.png", RGB[..., 0])
    write(tmp_path / "b.png", RGB)
    a, b = scan(tmp_path).sources
    assert a.planes == {name: Plane(tmp_path / name / "a.png", None) for name in ("red", "green")}
    assert b.planes == {name: Plane(tmp_path / "b.png", k) for k, name in enumerate(("red", "green", "blue"))}
    assert a.missing_channels(("green", "blue")) == ("blue",)
    assert copy.deepcopy(b) == b  # by what sends it to workers too
    with pytest.raises(KeyError, match="yellow"):
        b.planes["yellow"]
