"""Augmentation: geometry never changes colour, colour never moves anything, and all of it comes from the generator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from hpa_hier.models.augment.warp import Draws, apply_gamma, draw, warp, warp_batch
from hpa_hier.settings.training import AugmentSettings

STILL = AugmentSettings(flips_and_quarter_turns=False, rotate=0, scale=0, shift=0, gain=0)
SYMMETRIES = AugmentSettings(flips_and_quarter_turns=True, rotate=0, scale=0, shift=0, gain=0)
ALL = AugmentSettings(flips_and_quarter_turns=True, rotate=20, scale=0.2, shift=0.1, gain=0.3)


CHANNELS = ("red", "green", "blue", "yellow")


def replace(settings: AugmentSettings, **changes: Any) -> AugmentSettings:
    return settings.model_copy(update=changes)


GEOMETRIC = {
    "symmetries": SYMMETRIES,
    "affine": replace(STILL, rotate=30, scale=0.2, shift=0.1),
    "crop": replace(STILL, crop=0.5),
    "elastic": replace(STILL, elastic=0.05),
    "all": replace(ALL, gain=0, crop=0.6, elastic=0.03),
}


def images(count: int, channels: int = 4, side: int = 24) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, channels, side, side), dtype=np.uint8)


def moved(batch: np.ndarray, draws: Draws, side: int = 0) -> np.ndarray:
    side = side or batch.shape[-1]
    out = np.empty((len(batch), side, side, batch.shape[1]), np.uint8)
    assert warp(batch, draws, out) == Draws(gain=draws.gain, gamma=draws.gamma)
    return out.transpose(0, 3, 1, 2)


def histograms(batch: np.ndarray) -> np.ndarray:
    """Return the share of each channel's pixels in 16 bins of intensity, (B, C, 16)."""
    flat = batch.reshape(*batch.shape[:2], -1) // 16
    return np.stack([(flat == value).mean(axis=2) for value in range(16)], axis=2)


def waves(count: int) -> np.ndarray:
    """Draw a fine pattern in four channels of different range, whose histogram is the same in every window."""
    down, across = np.mgrid[:96, :96]
    wave = 0.5 + 0.5 * np.sin(down * 0.7) * np.cos(across * 0.6)
    floors, heights = np.array([10, 60, 120, 200]), np.array([20, 50, 100, 50])
    planes = floors[:, None, None] + heights[:, None, None] * wave
    return np.broadcast_to(planes.astype(np.uint8), (count, 4, 96, 96)).copy()


def test_nothing_drawn_leaves_every_pixel() -> None:
    batch = images(5)
    draws = draw(STILL, 5, CHANNELS, np.random.default_rng(0))
    assert (moved(batch, draws) == batch).all()
    assert (draws.gain == 1).all()


@pytest.mark.parametrize("side", [24, 25])
def test_symmetries_move_pixels_without_resampling_and_all_eight_occur(side: int) -> None:
    one = images(1, side=side)
    batch = np.repeat(one, 200, axis=0)
    turned = moved(batch, draw(SYMMETRIES, 200, CHANNELS, np.random.default_rng(0)))
    eight = {
        np.rot90(flipped, turn, axes=(1, 2)).tobytes() for flipped in (one[0], one[0][:, :, ::-1]) for turn in range(4)
    }
    assert {image.tobytes() for image in np.ascontiguousarray(turned)} == eight


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 9])
def test_all_channels_move_alike_whatever_their_number(channels: int) -> None:
    plane = images(3, 1)
    draws = draw(ALL, 3, ("",) * channels, np.random.default_rng(0))
    turned = moved(np.repeat(plane, channels, axis=1), draws)
    assert (turned == turned[:, :1]).all()
    assert (turned[:, :1] == moved(plane, draws)).all()


def test_geometry_never_changes_colour() -> None:
    flat = np.broadcast_to(np.array([10, 60, 120, 250], np.uint8)[None, :, None, None], (50, 4, 24, 24)).copy()
    assert (moved(flat, draw(ALL, 50, CHANNELS, np.random.default_rng(0))) == flat).all()


def test_the_same_generator_draws_the_same_and_slices_of_it_agree() -> None:
    whole = draw(ALL, 40, CHANNELS, np.random.default_rng([3, 7]))
    again = draw(ALL, 40, CHANNELS, np.random.default_rng([3, 7])).rows(slice(10, 20))
    assert (whole.matrices[10:20] == again.matrices).all()
    assert (whole.gain[10:20] == again.gain).all()


def test_draws_stay_in_their_ranges() -> None:
    draws = draw(ALL, 5000, CHANNELS, np.random.default_rng(0))
    sizes = 1 / np.sqrt(np.abs(np.linalg.det(draws.matrices[:, :, :2])))
    assert 0.8 <= sizes.min() < 0.82
    assert 1.18 < sizes.max() <= 1.2 + 1e-6
    assert draws.matrices[:, :, 2].abs().max() <= 0.1
    assert 0.7 <= draws.gain.min() < 0.71


def test_the_device_warps_as_the_processor_does() -> None:
    smooth = (127 + 100 * np.sin(np.linspace(0, 6, 48))[:, None] * np.cos(np.linspace(0, 5, 48))).astype(np.uint8)
    batch = np.broadcast_to(smooth, (30, 3, 48, 48)).copy()
    draws = draw(ALL, 30, CHANNELS[:3], np.random.default_rng(5))
    on_device = warp_batch(torch.from_numpy(batch), draws).numpy()
    difference = np.abs(on_device - moved(batch, draws))
    assert difference.mean() < 1
    assert np.quantile(difference, 0.999) < 6


def test_a_dropped_channel_is_as_dark_as_a_missing_one_and_the_rest_stays() -> None:
    some = replace(STILL, gain=0.3, drop_channels={"yellow": 0.6})
    gain = draw(some, 4000, CHANNELS, np.random.default_rng(0)).gain
    assert (gain[:, :3] >= 0.69).all()
    assert set(np.unique(gain[:, 3] > 0)) == {False, True}
    assert abs((gain[:, 3] == 0).float().mean() - 0.6) < 0.03


def test_without_dropping_the_stream_of_random_numbers_is_what_it_was() -> None:
    plain, zero = (
        draw(ranges, 9, CHANNELS, np.random.default_rng(0))
        for ranges in (ALL, replace(ALL, drop_channels={"red": 0.0}))
    )
    assert (plain.gain == zero.gain).all()
    assert (plain.matrices == zero.matrices).all()


@pytest.mark.parametrize("name", GEOMETRIC)
def test_every_geometric_change_holds_each_channels_histogram(name: str) -> None:
    batch = waves(20)
    draws = draw(GEOMETRIC[name], 20, CHANNELS, np.random.default_rng(0))
    changed = moved(batch, draws)
    assert (changed != batch).any()
    distance = np.abs(histograms(changed) - histograms(batch)).sum(axis=2) / 2
    assert distance.max() == 0 if name == "symmetries" else distance.max() < 0.12
    # No channel leaves its own range, so no colour is there that was not there before.
    assert (changed.min(axis=(2, 3)) >= batch.min(axis=(2, 3))).all()
    assert (changed.max(axis=(2, 3)) <= batch.max(axis=(2, 3))).all()
    assert (draws.gain == 1).all()
    assert draws.gamma is None


@pytest.mark.parametrize("name", GEOMETRIC)
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_geometric_changes_know_nothing_of_which_channel_is_which(name: str, channels: int) -> None:
    batch = images(6, channels)
    draws = draw(GEOMETRIC[name], 6, ("",) * channels, np.random.default_rng(0))
    turned = moved(batch[:, ::-1].copy(), draws)
    assert (turned == moved(batch, draws)[:, ::-1]).all()


def test_crops_keep_at_least_their_share_of_the_area_and_stay_inside() -> None:
    draws = draw(replace(STILL, crop=0.4), 2000, CHANNELS, np.random.default_rng(0))
    area = np.linalg.det(draws.matrices[:, :, :2])
    assert 0.4 <= area.min() < 0.41
    assert 0.99 < area.max() <= 1 + 1e-6
    edge = draws.matrices[:, :, 2].abs().numpy() + np.sqrt(area)[:, None] / 2
    assert edge.max() <= 0.5 + 1e-6
    assert edge.max() > 0.499


def test_bends_move_places_by_about_their_share_of_the_side_and_leave_the_image_whole() -> None:
    down, across = np.mgrid[:64, :64].astype(np.uint8)
    batch = np.broadcast_to(np.stack([across, down]), (40, 2, 64, 64)).copy()
    draws = draw(replace(STILL, elastic=0.05), 40, CHANNELS[:2], np.random.default_rng(0))
    bent = moved(batch, draws).astype(int)
    moves = np.abs(bent - batch)[:, :, 8:-8, 8:-8]
    assert 2 <= moves.max() <= 1.25 * 0.05 * 64 + 1
    assert (np.diff(bent[:, 0, :, 8:-8], axis=2) >= 0).all(), "a bend folds the image over"


@pytest.mark.parametrize("side", [24, 36, 48, 64])
def test_another_side_shows_the_same_scene(side: int) -> None:
    across = np.linspace(0, 255, 48)
    batch = np.broadcast_to(np.stack([np.tile(across, (48, 1)), np.tile(across, (48, 1)).T]), (2, 2, 48, 48))
    small = moved(batch.astype(np.uint8), draw(STILL, 2, CHANNELS[:2], np.random.default_rng(0)), side=side)
    expected = np.interp((np.arange(side) + 0.5) / side, (np.arange(48) + 0.5) / 48, across)
    assert np.abs(small[0, 0, 5] - expected).max() < 2
    assert np.abs(small[0, 1, :, 5] - expected).max() < 2


@pytest.mark.parametrize("side", [32, 48])
def test_the_device_bends_and_resizes_as_the_processor_does(side: int) -> None:
    smooth = (127 + 100 * np.sin(np.linspace(0, 6, 48))[:, None] * np.cos(np.linspace(0, 5, 48))).astype(np.uint8)
    batch = np.broadcast_to(smooth, (30, 3, 48, 48)).copy()
    draws = draw(replace(ALL, crop=0.6, elastic=0.04), 30, CHANNELS[:3], np.random.default_rng(5))
    assert draws.bends is not None
    on_device = warp_batch(torch.from_numpy(batch), draws, side).numpy()
    difference = np.abs(on_device - moved(batch, draws, side))
    assert difference.mean() < 1
    assert np.quantile(difference, 0.999) < 6


def test_gamma_moves_nothing_and_keeps_black_white_and_the_order_of_intensities() -> None:
    draws = draw(replace(STILL, gamma=0.4), 500, CHANNELS, np.random.default_rng(0))
    assert draws.gamma is not None
    assert 0.6 <= draws.gamma.min() < 0.61
    assert 1.39 < draws.gamma.max() <= 1.4 + 1e-6
    ramp = torch.arange(256, dtype=torch.uint8).expand(500, 4, 1, 256)
    changed = apply_gamma(ramp, draws.gamma)
    assert (changed[..., 0] == 0).all()
    torch.testing.assert_close(changed[..., -1], torch.full((500, 4, 1), 255.0))
    assert (changed.diff(dim=3) > 0).all()
    expected = 255 * (np.arange(256) / 255) ** float(draws.gamma[3, 2])
    np.testing.assert_allclose(changed[3, 2, 0].numpy(), expected, rtol=1e-4, atol=1e-3)


def test_only_the_chosen_images_are_varied() -> None:
    everything = replace(ALL, gamma=0.3, crop=0.5, elastic=0.04, drop_channels=dict.fromkeys(CHANNELS, 0.5))
    varied = np.arange(30) % 3 == 0
    draws = draw(everything, 30, CHANNELS, np.random.default_rng(0)).vary_only(varied)
    assert draws.gamma is not None
    batch = images(30)
    same = (moved(batch, draws) == batch).all(axis=(1, 2, 3))
    assert (same == ~varied).all()
    assert (draws.gain[~varied] == 1).all()
    assert (draws.gamma[~varied] == 1).all()
    assert (draws.gain[varied] != 1).all()


def test_what_is_new_leaves_the_stream_of_random_numbers_before_it_as_it_was() -> None:
    plain = draw(ALL, 9, CHANNELS, np.random.default_rng(0))
    more = draw(replace(ALL, gamma=0.3, elastic=0.02), 9, CHANNELS, np.random.default_rng(0))
    assert (plain.gain == more.gain).all()
    assert (plain.matrices == more.matrices).all()
