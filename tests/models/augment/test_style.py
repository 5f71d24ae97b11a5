"""Styles: amplitudes and brightness levels of other pictures, phases and the order of pixels of the image."""

from __future__ import annotations

import numpy as np
import pytest

from hpa_hier.models.augment.style import (
    Band,
    StyleDraws,
    Styles,
    apply_styles,
    draw_styles,
    look_of,
    match_levels,
    mix_amplitudes,
)
from hpa_hier.settings.training import AugmentSettings

SIDE = 16


def planes(count: int, seed: int, low: int = 40, high: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, (count, SIDE, SIDE), dtype=np.uint8)


def styles_of(counts: tuple[int, ...], band: float = 0.5) -> Styles:
    frequencies = Band.from_share(SIDE, band)
    return Styles(frequencies, tuple(look_of(planes(count, seed), frequencies) for seed, count in enumerate(counts)))


def draws_of(pictures: np.ndarray, amplitude: float, histogram: float) -> StyleDraws:
    shape = pictures.shape
    return StyleDraws(pictures, np.full(shape, amplitude, np.float32), np.full(shape, histogram, np.float32))


@pytest.mark.parametrize("side", [15, 16])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_band_is_a_fourier_transform_of_its_frequencies(side: int, share: float) -> None:
    images = np.random.default_rng(0).random((2, side, side)).astype(np.float32)
    band = Band.from_share(side, share)
    K = band.highest
    whole = np.fft.rfft2(images)
    rows = [*range(K + 1), *range(side - K, side)]
    assert np.allclose(band.transform(images), whole[:, rows][:, :, : K + 1], atol=1e-3)
    outside = np.ones(whole.shape[1:], bool)
    outside[np.ix_(rows, range(K + 1))] = False
    inside = np.fft.irfft2(np.where(outside, 0, whole), s=(side, side))
    assert np.allclose(band.invert(band.transform(images)), inside, atol=1e-4)


def test_at_full_strength_amplitudes_are_the_pictures_and_phases_the_images() -> None:
    images, band = planes(3, 0, 110, 140), Band.from_share(SIDE, 0.5)
    pictures = look_of(planes(3, 1, 100, 150), band)
    changed = mix_amplitudes(images, pictures.amplitudes, np.ones(3, np.float32), band)
    before, after = (band.transform(one.astype(np.float32)) for one in (images, changed))
    assert np.allclose(np.abs(after), pictures.amplitudes, atol=25)  # pixels are whole numbers
    large = np.abs(before) * np.abs(after) > 200**2
    assert large.sum() > 20
    assert np.abs(np.angle(after / before))[large].max() < 0.2
    above = np.fft.fft2(changed.astype(float) - images)[:, SIDE // 2 - 2, SIDE // 2 - 2]
    assert (np.abs(above) < 25).all()


def test_matched_levels_give_the_pictures_histogram_and_keep_the_order_of_pixels() -> None:
    (plane,), (picture,) = planes(1, 0, 0, 256), planes(1, 1, 100, 120)
    levels = look_of(picture[None], Band(SIDE, 0)).levels[0]
    table = match_levels(plane, levels, 1.0)
    assert (np.diff(table.astype(int)) >= 0).all()
    found, wanted = (np.percentile(one, [5, 25, 50, 75, 95]) for one in (table[plane], picture))
    assert np.abs(found - wanted).max() <= 1
    assert (match_levels(plane, levels, 0.0) == np.arange(256)).all()


def test_no_strength_changes_nothing_and_neither_does_no_picture() -> None:
    images = planes(8, 0).reshape(4, 2, SIDE, SIDE)
    for pictures, strength in ((np.zeros((4, 2), int), 0.0), (np.full((4, 2), -1), 1.0)):
        changed = images.copy()
        apply_styles(changed, draws_of(pictures, strength, strength), styles_of((3, 3)))
        assert (changed == images).all()


def test_a_missing_channel_stays_missing_and_one_without_pictures_as_it_is() -> None:
    images = planes(6, 0).reshape(2, 3, SIDE, SIDE)
    images[:, 0] = 0
    changed = images.copy()
    drawn = draw_styles(AugmentSettings(style_share=1), 2, (2, 2, 0), np.random.default_rng(0))
    apply_styles(changed, drawn, styles_of((2, 2, 0)))
    assert not changed[:, 0].any()
    assert (changed[:, 1] != images[:, 1]).any()
    assert (changed[:, 2] == images[:, 2]).all()


def test_about_the_share_is_drawn_and_of_these_every_picture() -> None:
    settings = AugmentSettings(style_share=0.3, style_amplitude=0.5, style_histogram=0.0)
    varied = np.arange(4000) % 2 == 0
    draws = draw_styles(settings, 4000, (5, 1), np.random.default_rng(0), varied)
    chosen = draws.pictures[:, 0] >= 0
    assert (chosen == (draws.pictures[:, 1] >= 0)).all()
    assert abs(chosen[varied].mean() - 0.3) < 0.03
    assert not chosen[~varied].any()
    assert set(draws.pictures[chosen, 0]) == set(range(5))
    assert 0.45 < draws.amplitude.max() <= 0.5
    assert not draws.histogram.any()


def test_an_images_style_does_not_depend_on_the_others() -> None:
    images, styles = planes(12, 0).reshape(6, 2, SIDE, SIDE), styles_of((3, 3))
    drawn = draw_styles(AugmentSettings(style_share=1), 6, styles.counts, np.random.default_rng(0))
    together, alone = images.copy(), images.copy()
    apply_styles(together, drawn, styles)
    for row in range(6):
        apply_styles(alone[row : row + 1], drawn.rows(slice(row, row + 1)), styles)
    assert np.abs(together.astype(int) - alone).max() <= 1  # of rounding, in products of other shapes
