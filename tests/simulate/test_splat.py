"""Points to images: weight is kept, peaks have the height asked for, densities are followed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpa_hier.simulate.splat import blur, dots, lines, noise, scatter, splat

SOME = st.floats(1, 30, allow_nan=False)


@given(st.lists(st.tuples(SOME, SOME), min_size=1, max_size=20))
@settings(max_examples=50)
def test_splatting_keeps_the_weight_and_the_centre_of_mass(points: list[tuple[float, float]]) -> None:
    canvas = splat(np.array(points), np.ones(len(points)), 32)
    rows, columns = np.mgrid[:32, :32]
    assert canvas.sum() == pytest.approx(len(points), rel=1e-5)
    centre = ((canvas * columns).sum() / canvas.sum(), (canvas * rows).sum() / canvas.sum())
    assert centre == pytest.approx(np.mean(points, axis=0), abs=1e-3)


def test_points_outside_the_image_are_dropped() -> None:
    far = np.array([[-5.0, 3.0], [40.0, 3.0], [3.0, -1.01], [3.0, 32.0], [1e9, 1e9]])
    assert splat(far, np.ones(5), 32).sum() == 0


@pytest.mark.parametrize("sigma", [0.6, 1.0, 3.0])
def test_a_dot_peaks_at_its_weight(sigma: float) -> None:
    assert dots(np.array([[16.0, 16.0]]), np.array([0.7]), sigma, 33).max() == pytest.approx(0.7, rel=0.1)


@pytest.mark.parametrize("sigma", [0.6, 1.5])
def test_a_line_has_a_crest_of_one(sigma: float) -> None:
    along = np.arange(4, 60, 0.5)
    points = np.stack([along, np.full(len(along), 32.0)], axis=1)
    assert lines(points, np.full(len(along), 0.5), sigma, 64)[32, 32] == pytest.approx(1.0, rel=0.1)


def test_no_points_draw_nothing() -> None:
    nothing = np.zeros((0, 2))
    assert dots(nothing, np.zeros(0), 1.0, 16).sum() == 0
    assert lines(nothing, np.zeros(0), 1.0, 16).sum() == 0
    assert scatter(np.random.default_rng(0), np.zeros((8, 8), np.float32), 5).shape == (0, 2)


@pytest.mark.parametrize("sigma", [0.1, 2.0, 20.0])
def test_blurring_keeps_an_even_image(sigma: float) -> None:
    assert blur(np.full((64, 64), 0.4, np.float32), sigma) == pytest.approx(0.4, abs=1e-5)


@pytest.mark.parametrize("grain", [1.0, 3.0, 40.0])
def test_noise_has_mean_zero_and_deviation_one(grain: float) -> None:
    texture = noise(np.random.default_rng(1), 64, grain)
    assert texture.shape == (64, 64)
    assert texture.mean() == pytest.approx(0, abs=1e-3)
    assert texture.std() == pytest.approx(1, abs=1e-3)


def test_scattered_points_follow_the_density() -> None:
    weight = np.zeros((10, 10), np.float32)
    weight[2, 3], weight[7, 8] = 1, 3
    points = scatter(np.random.default_rng(2), weight, 4000)
    assert (points[:, 0] > 5).mean() == pytest.approx(0.75, abs=0.03)
    assert np.abs(points[points[:, 0] > 5] - [8, 7]).max() <= 0.5
