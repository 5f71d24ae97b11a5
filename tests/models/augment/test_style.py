"""Styles: softness and levels of brightness of other pictures, phases and the order of pixels of the image."""

from __future__ import annotations

import cv2
import numpy as np

from hpa_hier.models.augment.style import (
    Rings,
    StyleDraws,
    Styles,
    apply_styles,
    draw_styles,
    levels_of,
    look_of,
    match_levels,
    mix_spectra,
)
from hpa_hier.settings.training import AugmentSettings

SIDE = 32


def planes(count: int, seed: int, blur: float = 0.0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(count, SIDE, SIDE)).astype(np.float32)
    if not count:
        return np.empty((0, SIDE, SIDE), np.uint8)
    soft = np.array(
        [cv2.GaussianBlur(one, (0, 0), blur, borderType=cv2.BORDER_REFLECT) if blur else one for one in noise]
    )
    return np.asarray(np.clip(100 + 40 * soft / soft.std(), 0, 255), np.uint8)


def styles_of(*counts: int) -> Styles:
    rings = Rings(SIDE)
    return Styles(rings, tuple(look_of(planes(count, seed, 1.5), rings) for seed, count in enumerate(counts, 10)))


def draws_of(shape: tuple[int, int], spectrum: float, histogram: float, picture: float = 0.0) -> StyleDraws:
    return StyleDraws(*(np.full(shape, value) for value in (picture, spectrum, histogram)))


def test_rings_measure_the_amplitude_of_frequencies_of_one_length() -> None:
    rings = Rings(SIDE)
    wave = np.cos(2 * np.pi * 5 * np.arange(SIDE) / SIDE)
    found = np.exp(rings.measure(np.fft.rfft2(np.stack([np.tile(wave, (SIDE, 1)), np.tile(wave, (SIDE, 1)).T]))))
    assert (found.argmax(axis=1) == 5).all()
    assert np.delete(found, 5, axis=1).max() < 0.1
    inside = (rings.number == 5).sum()
    assert np.isclose(found[0, 5] ** 2 * inside, (SIDE * SIDE / 2) ** 2, rtol=0.01)


def test_at_full_strength_the_spectrum_is_the_pictures_and_phases_are_the_images() -> None:
    images, rings = planes(2, 0), Rings(SIDE)
    spectra = look_of(planes(1, 1, 1.5), rings).spectra
    changed = mix_spectra(images, spectra, np.zeros(2), np.ones(2, np.float32), rings)
    before, after = np.fft.rfft2(images), np.fft.rfft2(changed)
    assert np.allclose(rings.measure(after)[:, 1:], spectra[:, 1:], atol=0.02)
    inner = rings.number < SIDE // 2
    assert np.abs(np.angle(after / before))[:, inner].max() < 1e-2
    assert np.allclose(changed.mean(axis=(1, 2)), images.mean(axis=(1, 2)), atol=0.01)
    half = mix_spectra(images, spectra, np.zeros(2), np.full(2, 0.5, np.float32), rings)
    between = (rings.measure(before) + spectra) / 2
    assert np.allclose(rings.measure(np.fft.rfft2(half))[:, 1:], between[:, 1:], atol=0.02)


def test_matched_levels_are_the_pictures_and_keep_the_order_of_pixels() -> None:
    (plane,), (picture,) = planes(1, 0).astype(np.float32) / 7, planes(1, 1, 1.0)
    matched = match_levels(plane, levels_of(picture))
    order = np.argsort(plane.ravel(), kind="stable")
    assert (np.diff(matched.ravel()[order].astype(int)) >= 0).all()
    assert np.abs(np.sort(matched.ravel()).astype(int) - np.sort(picture.ravel())).mean() < 0.5
    assert (matched.min(), matched.max()) == (picture.min(), picture.max())


def test_a_few_bright_pixels_stay_the_brightest() -> None:
    plane = planes(1, 0)[0] // 4
    plane[3, 4:6] = 255
    assert (match_levels(plane, levels_of(plane)) == plane).all()
    assert levels_of(plane)[-1] == 255


def test_without_strength_or_when_not_drawn_nothing_changes() -> None:
    images = planes(8, 0).reshape(4, 2, SIDE, SIDE)
    for draws in (draws_of((4, 2), 0, 0), draws_of((4, 2), 1, 1, picture=-1.0)):
        changed = images.copy()
        apply_styles(changed, draws, styles_of(3, 3))
        assert (changed == images).all()


def test_with_a_spectrum_alone_levels_of_brightness_stay() -> None:
    images = planes(2, 0)[:, None]
    changed = images.copy()
    apply_styles(changed, draws_of((2, 1), 1, 0), styles_of(2))
    assert (changed != images).mean() > 0.5
    for before, after in zip(images[:, 0], changed[:, 0], strict=True):
        assert np.abs(np.sort(before.ravel()).astype(int) - np.sort(after.ravel())).mean() < 0.5


def test_a_missing_channel_stays_missing_and_one_without_pictures_as_it_is() -> None:
    images = planes(6, 0).reshape(2, 3, SIDE, SIDE)
    images[:, 0] = 0
    changed = images.copy()
    apply_styles(changed, draws_of((2, 3), 1, 1), styles_of(2, 2, 0))
    assert not changed[:, 0].any()
    assert (changed[:, 1] != images[:, 1]).any()
    assert (changed[:, 2] == images[:, 2]).all()


def test_a_style_is_one_of_the_nearest_pictures() -> None:
    rings, image = Rings(SIDE), planes(1, 0, 2.0)
    look = look_of(np.concatenate([planes(3, 1), planes(1, 2, 2.0)]), rings)
    for drawn in (0.0, 0.99):  # the nearest quarter of four is one
        changed = mix_spectra(image, look.spectra, np.array([drawn]), np.ones(1, np.float32), rings)
        assert np.allclose(rings.measure(np.fft.rfft2(changed))[0, 1:], look.spectra[3, 1:], atol=0.02)


def test_about_the_share_is_drawn_and_strengths_go_up_to_their_settings() -> None:
    settings = AugmentSettings(style_share=0.3, style_spectrum=0.5, style_histogram=0.0)
    varied = np.arange(4000) % 2 == 0
    draws = draw_styles(settings, 4000, 2, np.random.default_rng(0), varied)
    chosen = draws.picture[:, 0] >= 0
    assert (chosen == (draws.picture[:, 1] >= 0)).all()
    assert abs(chosen[varied].mean() - 0.3) < 0.03
    assert not chosen[~varied].any()
    assert 0.45 < draws.spectrum.max() <= 0.5
    assert not draws.histogram.any()


def test_an_images_style_does_not_depend_on_the_others() -> None:
    images, styles = planes(12, 0).reshape(6, 2, SIDE, SIDE), styles_of(8, 8)
    drawn = draw_styles(AugmentSettings(style_share=1), 6, 2, np.random.default_rng(0))
    together, alone = images.copy(), images.copy()
    apply_styles(together, drawn, styles)
    for row in range(6):
        apply_styles(alone[row : row + 1], drawn.rows(slice(row, row + 1)), styles)
    assert (together == alone).all()
