"""Augmentation: geometry never changes colour, colour never moves anything, and all of it comes from the generator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hpa_hier.models.augment import Ranges, draw, warp, warp_batch

STILL = Ranges(flips_and_quarter_turns=False, rotate=0, scale=0, shift=0, gain=0)
SYMMETRIES = Ranges(flips_and_quarter_turns=True, rotate=0, scale=0, shift=0, gain=0)
ALL = Ranges(flips_and_quarter_turns=True, rotate=20, scale=0.2, shift=0.1, gain=0.3)


def images(count: int, channels: int = 4, side: int = 24) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, channels, side, side), dtype=np.uint8)


def moved(batch: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    out = np.empty((len(batch), *batch.shape[2:], batch.shape[1]), np.uint8)
    return warp(batch, matrices, out).transpose(0, 3, 1, 2)


def test_nothing_drawn_leaves_every_pixel() -> None:
    batch = images(5)
    draws = draw(STILL, 5, 4, np.random.default_rng(0))
    assert (moved(batch, draws.matrices) == batch).all()
    assert (draws.gain == 1).all()


@pytest.mark.parametrize("side", [24, 25])
def test_symmetries_move_pixels_without_resampling_and_all_eight_occur(side: int) -> None:
    one = images(1, side=side)
    batch = np.repeat(one, 200, axis=0)
    turned = moved(batch, draw(SYMMETRIES, 200, 4, np.random.default_rng(0)).matrices)
    eight = {
        np.rot90(flipped, turn, axes=(1, 2)).tobytes() for flipped in (one[0], one[0][:, :, ::-1]) for turn in range(4)
    }
    assert {image.tobytes() for image in np.ascontiguousarray(turned)} == eight


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 9])
def test_all_channels_move_alike_whatever_their_number(channels: int) -> None:
    plane = images(3, 1)
    draws = draw(ALL, 3, channels, np.random.default_rng(0))
    turned = moved(np.repeat(plane, channels, axis=1), draws.matrices)
    assert (turned == turned[:, :1]).all()
    assert (turned[:, :1] == moved(plane, draws.matrices)).all()


def test_geometry_never_changes_colour() -> None:
    flat = np.broadcast_to(np.array([10, 60, 120, 250], np.uint8)[None, :, None, None], (50, 4, 24, 24)).copy()
    assert (moved(flat, draw(ALL, 50, 4, np.random.default_rng(0)).matrices) == flat).all()


def test_the_same_generator_draws_the_same_and_slices_of_it_agree() -> None:
    whole = draw(ALL, 40, 4, np.random.default_rng([3, 7]))
    again = draw(ALL, 40, 4, np.random.default_rng([3, 7])).rows(slice(10, 20))
    assert (whole.matrices[10:20] == again.matrices).all()
    assert (whole.gain[10:20] == again.gain).all()


def test_draws_stay_in_their_ranges() -> None:
    draws = draw(ALL, 5000, 4, np.random.default_rng(0))
    sizes = 1 / np.sqrt(np.abs(np.linalg.det(draws.matrices[:, :, :2])))
    assert 0.8 <= sizes.min() < 0.82
    assert 1.18 < sizes.max() <= 1.2 + 1e-6
    assert np.abs(draws.matrices[:, :, 2]).max() <= 0.1
    assert 0.7 <= draws.gain.min() < 0.71


def test_the_device_warps_as_the_processor_does() -> None:
    smooth = (127 + 100 * np.sin(np.linspace(0, 6, 48))[:, None] * np.cos(np.linspace(0, 5, 48))).astype(np.uint8)
    batch = np.broadcast_to(smooth, (30, 3, 48, 48)).copy()
    draws = draw(ALL, 30, 3, np.random.default_rng(5))
    on_device = warp_batch(torch.from_numpy(batch), torch.from_numpy(draws.matrices)).numpy()
    difference = np.abs(on_device - moved(batch, draws.matrices))
    assert difference.mean() < 1
    assert np.quantile(difference, 0.999) < 6


def test_a_dropped_channel_is_as_dark_as_a_missing_one_and_the_rest_stays() -> None:
    some = replace(STILL, gain=0.3, drop=(0.0, 0.0, 0.0, 0.6))
    gain = draw(some, 4000, 4, np.random.default_rng(0)).gain
    assert (gain[:, :3] >= 0.69).all()
    assert set(np.unique(gain[:, 3] > 0)) == {False, True}
    assert abs((gain[:, 3] == 0).mean() - 0.6) < 0.03


def test_without_dropping_the_stream_of_random_numbers_is_what_it_was() -> None:
    plain, zero = (draw(ranges, 9, 4, np.random.default_rng(0)) for ranges in (ALL, replace(ALL, drop=(0.0,) * 4)))
    assert (plain.gain == zero.gain).all()
    assert (plain.matrices == zero.matrices).all()
