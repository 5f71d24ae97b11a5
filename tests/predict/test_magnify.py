"""Magnification: tiles cover the image, and merge into one answer between their mean and their maximum."""

from __future__ import annotations

import numpy as np
import pytest

from hpa_hier.predict.magnify import cut_tiles, magnified_side, merge_tiles, stack_tiles


@pytest.mark.parametrize("scale", [1.0, 1.3, 2.0, 2.5, 3.0])
def test_tiles_have_the_members_size_and_cover_every_pixel(scale: float) -> None:
    side = magnified_side(16, scale)
    image = np.arange(2 * side * side, dtype=np.int64).reshape(2, side, side)
    tiles = cut_tiles(image, 16)
    assert tiles.shape == (np.ceil(scale) ** 2, 2, 16, 16)
    assert set(tiles.ravel()) == set(image.ravel())


def test_a_merged_answer_is_between_the_mean_and_the_maximum_of_its_tiles() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 4, 3)) * 6
    seen = np.ones((5, 4), bool)
    merged = merge_tiles(logits, seen)
    assert (merged >= logits.mean(axis=1)).all()
    assert (merged <= logits.max(axis=1)).all()
    assert np.allclose(np.exp(merged), np.exp(logits).mean(axis=1))


def test_padding_has_no_say_unless_there_is_nothing_else() -> None:
    tiles = np.zeros((2, 4, 1, 8, 8), np.uint8)
    tiles[0, 1:] = 9
    ((_, seen),) = stack_tiles([[tiles[0]], [tiles[1]]], protein=0)
    assert seen.tolist() == [[False, True, True, True], [False] * 4]
    logits = np.array([[[50.0], [1.0], [1.0], [1.0]], [[2.0]] * 4])
    assert np.allclose(merge_tiles(logits, seen), [[1.0], [2.0]])
