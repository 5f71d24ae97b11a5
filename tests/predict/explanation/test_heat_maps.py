"""Heat maps as values: scaled, combined, drawn."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hpa_hier.cli.ensemble import explain
from hpa_hier.errors import UserError
from hpa_hier.predict.explanation.draw import composite, draw_heat_layer, draw_heat_map
from hpa_hier.predict.explanation.explained import Picture
from hpa_hier.predict.explanation.heat_maps import METHOD_NAMES, METHODS, Absent, HeatMap, HeatMaps, combine

SIZE = (24, 24)
REASONS = ["  no map: trees, svm (has no pictures)", "  no map: coarse (other nodes)"]


def heat(raw: np.ndarray, member: str = "leaf") -> HeatMap:
    return HeatMap.from_raw(raw.astype(np.float32), "Nucleoli", member, "grad_cam", SIZE)


def corner(value: float = 1.0) -> np.ndarray:
    raw = np.zeros((3, 3))
    raw[0, 0] = value
    return raw


def test_a_map_is_scaled_to_its_own_largest_value_at_the_size_of_the_picture() -> None:
    one = heat(corner(0.02) - 0.001)
    assert one.values.shape == SIZE
    assert (float(one.values.max()), float(one.values.min()), one.grid, one.empty) == (1.0, 0.0, (3, 3), False)
    assert np.unravel_index(one.values.argmax(), SIZE) < (8, 8)
    np.testing.assert_allclose(one.values, heat(corner(40.0)).values, atol=1e-6)


@pytest.mark.parametrize("raw", [np.zeros((3, 3)), -np.ones((3, 3)), np.full((3, 3), np.nan)])
def test_where_nothing_raises_the_node_the_map_is_empty(raw: np.ndarray) -> None:
    one = heat(raw)
    assert one.empty
    assert not one.values.any()
    assert one.describe() == "nothing in the picture speaks for it"


def test_pixels_are_smoothed_and_grids_are_not() -> None:
    raw = np.zeros((96, 96), np.float32)
    raw[40, 40] = 1
    fine = HeatMap.from_raw(raw, "Nucleoli", "leaf", "integrated_gradients", (96, 96))
    assert (fine.values > 0.1).sum() > 4
    assert fine.values[40, 40] == 1
    assert fine.describe() == "pixel by pixel"


def test_all_together_are_weighed_as_the_ensemble_weighs_its_members() -> None:
    one, other = heat(corner()), heat(corner()[::-1], "leaf-s1")
    both = combine([one, other], [3.0, 1.0])
    assert both is not None
    assert both.member == "ensemble"
    np.testing.assert_allclose(both.values, (one.values + other.values / 3), atol=1e-6)
    np.testing.assert_array_equal(combine([one, other], [1.0, -1.0]).values, one.values)
    even, none = combine([one, other], [0.0, 0.0]), combine([], [])
    np.testing.assert_allclose(even.values, one.values + other.values, atol=1e-6)
    assert none is None


def test_a_map_that_is_not_there_is_an_error_with_its_reason() -> None:
    absent = (Absent("trees", "has no pictures"), Absent("coarse", "other nodes"), Absent("svm", "has no pictures"))
    maps = HeatMaps("Nucleoli", "grad_cam", (heat(corner()),), heat(corner()), absent)
    assert maps.find("leaf").member == "leaf"
    assert maps.describe()[1:] == ["  leaf: on a grid of 3 × 3", *REASONS]
    with pytest.raises(UserError, match=r"^no heat map of Nucleoli: 'trees' has no pictures$"):
        maps.find("trees")
    assert maps.to_json() == {
        "node": "Nucleoli",
        "method": "grad_cam",
        "maps": [{"member": "leaf", "grid": [3, 3], "empty": False}],
        "combined": {"member": "leaf", "grid": [3, 3], "empty": False},
        "absent": [vars(one) for one in absent],
    }


def test_the_picture_is_grey_where_there_is_no_heat_and_coloured_where_there_is() -> None:
    image = np.full((2, *SIZE), 120, np.uint8)
    picture, one = Picture(image, ("green", "blue"), ("blue",)), heat(corner())
    assert composite(picture)[0, 0].tolist() == [18, 120, 28]  # blue, which the sample lacks, is left out
    drawn = cv2.imdecode(np.frombuffer(draw_heat_map(picture, one), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert drawn.shape == (*SIZE, 3)
    assert len(set(drawn[-1, -1].tolist())) == 1
    assert int(drawn[0, 0, 0]) - int(drawn[0, 0, 2]) > 80  # yellow
    layer = cv2.imdecode(np.frombuffer(draw_heat_layer(one, side=48), np.uint8), cv2.IMREAD_UNCHANGED)
    assert layer.shape == (48, 48, 4)
    assert layer[-1, -1, 3] == 0 < layer[0, 0, 3]


def test_the_command_offers_all_methods() -> None:
    assert explain.METHODS == METHODS == tuple(METHOD_NAMES)
