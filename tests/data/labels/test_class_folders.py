"""Class folders: the folder of an image says what it shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpa_hier.data.labels.class_folders import find_folder_classes, means_folders, read_class_folders
from hpa_hier.data.pack.build import build_pack
from hpa_hier.data.pack.matching import PackRequest
from hpa_hier.errors import UserError
from hpa_hier.taxonomy import Taxonomy

TREE = Taxonomy.load("hpa28")
IMAGES = Path("images")


def test_the_part_of_a_path_that_is_a_class_counts() -> None:
    folders = {"a": "train/Golgi/plate 1", "b": "nuclear_membrane", "c": "ER, Cytosol", "d": "val/Negative", "e": "7"}
    read = read_class_folders(folders, TREE, IMAGES)
    assert read.ids == tuple(folders)
    assert read.nodes == (
        ("Golgi apparatus",),
        ("Nuclear membrane",),
        ("Cytosol", "Endoplasmic reticulum"),
        (),
        ("Golgi apparatus",),
    )
    assert "'nuclear_membrane' is Nuclear membrane (1)" in read.notes[0]
    assert "'val/Negative' is none of the places (1)" in read.notes[0]


def test_nested_class_folders_say_both() -> None:
    assert read_class_folders({"a": "Nucleus/Nucleoli"}, TREE, IMAGES).nodes == (("Nucleus", "Nucleoli"),)


def test_folders_that_are_no_class_are_listed_with_a_guess() -> None:
    folders = {"a": "train/Goldgi", "b": "train/Goldgi", "c": "ER", "d": ""}
    with pytest.raises(UserError) as told:
        read_class_folders(folders, TREE, IMAGES)
    assert "folder that no label or node is called (1): 'train/Goldgi' (2 images); did you mean 'Golgi'?" in str(
        told.value
    )
    assert "image outside of class folders (1): d" in str(told.value)
    read = read_class_folders(folders, TREE, IMAGES, "skip")
    assert read.ids == ("c",)
    assert set(read.skipped) == {"a", "b", "d"}


def test_folders_of_another_field_are_told_how_to_get_a_tree() -> None:
    with pytest.raises(UserError, match="none of its labels is in 'hpa28'") as told:
        read_class_folders({"a": "bud neck", "b": "bud"}, TREE, Path("my images"), "skip")
    assert "`python -m hpa_hier.taxonomy new --labels folders --images 'my images'`" in str(told.value)


def test_an_exclusive_tree_refuses_a_folder_of_two_places() -> None:
    tree = Taxonomy.from_text("taxonomy: one\nexclusive: true\ntree: [er, golgi]\n")
    with pytest.raises(UserError, match="'er/golgi': er, golgi"):
        read_class_folders({"a": "er/golgi"}, tree, IMAGES)


def test_new_classes_are_the_first_folders_that_are_no_split() -> None:
    folders = {"a": "train/bud neck/p1", "b": "val/bud neck/p2", "c": "fold 2/vacuole", "d": "test/none"}
    assert find_folder_classes(folders, IMAGES).labels == ("bud neck", "vacuole")
    with pytest.raises(UserError, match=r"images: no image lies in a folder of its class, as in images/Golgi/a\.tif"):
        find_folder_classes({"a": "", "b": "train"}, IMAGES)


def test_a_pack_takes_class_folders(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("Golgi", "ER", "ER/day 2"):
        (tmp_path / "images" / folder).mkdir(parents=True)
        pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / folder / "1.png")
    request = PackRequest(
        images=tmp_path / "images",
        labels=Path("folders"),
        out=tmp_path / "pack",
        taxonomy=TREE,
        size=16,
        channels=("red", "green", "blue"),
    )
    report = build_pack(request)
    assert sorted(report.pack.nodes) == [("Endoplasmic reticulum",), ("Endoplasmic reticulum",), ("Golgi apparatus",)]
    assert build_pack(request).reused


def test_a_file_called_folders_is_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert means_folders(Path("folders"))
    Path("folders").write_text("Id,Target\n")
    assert not means_folders(Path("folders"))
