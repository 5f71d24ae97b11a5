"""The example of exported folders reads files as this package does, without its libraries."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from hpa_hier.data.images.read import convert_plane
from hpa_hier.predict.export.example import read_image, read_plane, shrink, to_uint8

SIZE = 48


@pytest.mark.parametrize("intensity", ["depth", "percentile"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(48, 48), (96, 96), (144, 96), (128, 128), (101, 77), (49, 48), (300, 512), (48, 7)])
def test_a_plane_becomes_the_same_to_the_last_bit(shape: tuple[int, int], dtype: type, intensity: str) -> None:
    rng = np.random.default_rng(shape[0])
    for plane in (rng.integers(0, np.iinfo(dtype).max, shape), rng.integers(0, 5, shape)):
        plane = plane.astype(dtype)
        own = convert_plane(plane, SIZE, intensity)
        small = to_uint8(shrink(plane, SIZE), intensity)
        top, left = ((SIZE - side) // 2 for side in small.shape)
        assert np.array_equal(own[top : top + small.shape[0], left : left + small.shape[1]], small)
        assert own.sum() == small.sum()


def test_a_channel_that_is_lacking_is_zeros_and_a_coloured_file_its_brightest_colour(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "one.png"), colours)
    image = read_image([str(tmp_path / "one.png"), "-"], {"shape": [2, SIZE, SIZE], "intensity": "depth"})
    assert np.array_equal(image[0], colours.max(axis=2))
    assert not image[1].any()
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((SIZE, SIZE), 40000, np.uint16))
    assert read_plane(str(tmp_path / "deep.png")).dtype == np.uint16


def test_an_image_smaller_than_the_network_takes_is_refused() -> None:
    with pytest.raises(ValueError, match="an image of 40 pixels is smaller than the network's 48; enlarge it before"):
        shrink(np.zeros((40, 20), np.uint8), SIZE)
