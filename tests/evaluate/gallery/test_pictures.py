"""Pictures are as fine as their bytes allow, and never lose what the protein looks like."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from hpa_hier.evaluate.gallery.pictures import (
    LADDER,
    PROTEIN,
    encode_plane,
    encode_planes,
    encode_within,
    heat_layer,
    scale_bar,
)


def decode(uri: str) -> np.ndarray:
    assert uri.startswith("data:image/webp;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))


def noise(side: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {channel: rng.integers(0, 255, (side, side), dtype=np.uint8) for channel in (PROTEIN, "red", "blue")}


def test_a_plane_shows_black_as_black_and_its_brightest_as_white():
    plane = np.zeros((64, 64), np.uint8)
    plane[:32] = 90
    shown = decode(encode_plane(plane, 64, 80))[..., 0]
    assert shown.shape == (64, 64)
    assert shown[8, 8] > 245
    assert shown[56, 56] < 10


def test_an_empty_plane_stays_dark():
    assert decode(encode_plane(np.full((16, 16), 2, np.uint8), 16, 80)).max() < 80


@pytest.mark.parametrize("fineness", LADDER)
def test_the_protein_has_at_least_300_pixels_where_the_image_has_them(fineness):
    planes = encode_planes(noise(512), fineness)
    assert decode(planes[PROTEIN]).shape[0] == fineness.protein >= 300
    assert decode(planes["red"]).shape[0] == fineness.others


def test_a_small_image_is_not_enlarged():
    assert decode(encode_planes(noise(48), LADDER[0])[PROTEIN]).shape[:2] == (48, 48)


def test_few_images_are_kept_finely_and_many_coarsely_and_too_many_are_left_out():
    images = [noise(320, seed) for seed in range(6)]
    size = sum(map(len, encode_planes(images[0], LADDER[0]).values()))
    least = sum(map(len, encode_planes(images[0], LADDER[-1]).values()))
    kept, fineness = encode_within(images.__getitem__, 6, 7 * size)
    assert (len(kept), fineness) == (6, LADDER[0])
    for budget in (6 * least + 600, 3 * least + 300):
        kept, fineness = encode_within(images.__getitem__, 6, budget)
        assert fineness == LADDER[-1]
        assert sum(len(uri) for one in kept for uri in one.values()) <= budget
        assert len(kept) == budget // least


def test_no_images_cost_nothing():
    assert encode_within(lambda k: noise(8), 0, 1000) == ([], LADDER[0])


@pytest.mark.parametrize(
    ("micrometres", "side", "words", "pixels"),
    [(0.16, 512, "20 µm", 125), (0.08, 256, "5 µm", 62.5), (1, 64, "10 µm", 10)],
)
def test_a_scale_bar_is_as_long_as_it_says(micrometres, side, words, pixels):
    bar = scale_bar(micrometres, side)
    assert bar.words == words
    assert bar.length * side == pytest.approx(pixels)


def test_without_the_size_of_a_pixel_there_is_no_bar():
    assert scale_bar(None, 512) is None


def test_a_heat_map_is_small_and_transparent_where_it_is_cold():
    values = np.zeros((192, 192), np.float32)
    values[:96] = 1

    def draw(small: np.ndarray) -> bytes:
        kept = io.BytesIO()
        rgba = np.dstack([np.full((*small.shape, 3), 200.0), 255 * small]).astype(np.uint8)
        Image.fromarray(rgba).save(kept, "PNG")
        return kept.getvalue()

    uri = heat_layer(values, draw)
    assert len(uri) < 1500
    shown = decode(uri)
    assert shown[4, 4, 3] == 255
    assert shown[-4, 4, 3] == 0
