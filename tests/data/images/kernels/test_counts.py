from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpa_hier.data.images.exposure import look_at
from hpa_hier.data.images.kernels.counts import average_squares, count_values, sum_squares
from hpa_hier.data.images.kernels.switch import SWITCH, compile_kernels
from hpa_hier.data.images.read import convert_plane

pytest.importorskip("numba")


@pytest.fixture(scope="module", autouse=True)
def kernels() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SWITCH, "kernels", compile_kernels())
        yield SWITCH.kernels


def noise(seed: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, int(rng.choice([1, 2, 5, 255])) + 1, (height, width)).astype(np.uint8)


@settings(max_examples=60)
@given(st.integers(0, 1 << 30), st.integers(1, 40), st.integers(1, 40))
def test_values_are_counted(seed: int, height: int, width: int) -> None:
    plane = noise(seed, height, width)
    np.testing.assert_array_equal(count_values(plane), np.bincount(plane.ravel(), minlength=256))
    np.testing.assert_array_equal(count_values(plane[:, ::2]), np.bincount(plane[:, ::2].ravel(), minlength=256))
    np.testing.assert_array_equal(count_values(plane[1:]), np.bincount(plane[1:].ravel(), minlength=256))


@settings(max_examples=80)
@given(st.integers(0, 1 << 30), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 3, 4, 6, 8, 16]))
def test_squares_are_averaged_as_opencv_does(seed: int, height: int, width: int, side: int) -> None:
    plane = noise(seed, height * side, width * side)
    averages = average_squares(plane, (height, width), None)
    expected = cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)
    assert (averages is None) == (side not in (4, 8, 16))
    if averages is not None:
        np.testing.assert_array_equal(averages, expected)
    sums = sum_squares(plane, side)
    assert sums is not None
    assert (averages is None) or np.array_equal(average_squares(plane, (height, width), sums), averages)
    floats = cv2.resize(plane.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(sums * np.float32(1 / side**2), floats, rtol=1e-6)


@pytest.mark.parametrize("plane", [noise(1, 9, 10), noise(1, 9, 18)[:, ::2], noise(1, 9, 9).astype(np.uint16)])
def test_other_planes_are_left_to_opencv(plane: np.ndarray) -> None:
    assert sum_squares(plane, 3) is None


@pytest.mark.parametrize("shape", [(512, 512), (384, 512), (300, 200), (64, 640)])
def test_images_and_looks_are_the_same_with_kernels_and_without(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    planes = {
        name: cv2.GaussianBlur(rng.integers(0, 256, shape, dtype=np.uint8), (0, 0), sigma)
        for name, sigma in (("red", 0.1), ("green", 3.0), ("blue", 9.0))
    }
    found = [(look_at(planes), [convert_plane(p, 64, "depth").tolist() for p in planes.values()])]
    monkeypatch.setattr(SWITCH, "kernels", None)
    assert found[0] == (look_at(planes), [convert_plane(p, 64, "depth").tolist() for p in planes.values()])
