"""Which image a row means: paths of any system, columns of plates, and names that fit several images."""

from __future__ import annotations

import pytest

from hpa_hier.data.labels.image_names import ImageName, ImageNames

WELLS = ImageNames(
    [
        ImageName("plate1_A01", "A01", ("plate1",)),
        ImageName("plate1_A01", "A01_green", ("plate1",)),
        ImageName("plate2_A01", "A01", ("plate2",)),
        ImageName("B02", "B02", ("plate2",)),
    ]
)


@pytest.mark.parametrize(
    ("cell", "header", "row", "expected"),
    [
        ("plate2/A01.png", [], [], "plate2_A01"),
        ("./plate2/A01", [], [], "plate2_A01"),
        ("/home/lab/Plate_02/A01.ome.tif", [], [], "plate2_A01"),
        (r"D:\export\plate1\A01.png", [], [], "plate1_A01"),
        ("plate1/A01_green.png", [], [], "plate1_A01"),
        ("A01", ["plate"], ["plate2"], "plate2_A01"),
        ("A01.png", ["Plate", "well"], ["1", "A01"], "plate1_A01"),
        ("A01.png", ["plate"], ["01"], "plate1_A01"),
        ("plate1_A01", [], [], "plate1_A01"),
        ("B02.png", [], [], "B02"),
        ("elsewhere/B02.png", [], [], "B02"),
        ("C03.png", [], [], "C03"),
    ],
)
def test_a_row_means_the_image_whose_folders_it_names(cell, header, row, expected):
    assert WELLS.find_ids([cell], header, [row]) == ([expected], {})


def test_a_row_that_fits_several_images_says_how_to_tell_them_apart():
    ids, unclear = WELLS.find_ids(["A01.png"], ["dose"], [["3"]])
    assert ids == ["A01"]
    reason = "A01 is in plate1, plate2; write the path, as in plate1/A01, or a column of plates"
    assert unclear == {0: reason}


def test_a_path_means_the_nearest_image_where_one_folder_is_in_another():
    names = ImageNames(
        [ImageName("A01", "A01"), ImageName("p_A01", "A01", ("p",)), ImageName("p_q_A01", "A01", ("p", "q"))]
    )
    cells = ["A01.png", "p/A01.png", "p/q/A01.png"]
    assert names.find_ids(cells, [], [[], [], []]) == (["A01", "p_A01", "p_q_A01"], {})


def test_a_row_of_an_absent_plate_does_not_take_the_image_of_another():
    names = ImageNames([ImageName("A01", "A01", ("plate1",))])
    assert names.find_ids(["plate1/A01.png", "plate2/A01.png"], [], [[], []]) == (["A01", "plate2_A01"], {})
