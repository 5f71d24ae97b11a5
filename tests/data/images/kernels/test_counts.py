from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpa_hier.data.images.exposure import look_at
from hpa_hier.data.images.kernels.counts import count_values, shrink, sum_squares
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


def area(plane: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return np.asarray(cv2.resize(plane, shape[::-1], interpolation=cv2.INTER_AREA))


@settings(max_examples=60)
@given(st.integers(0, 1 << 30), st.integers(1, 40), st.integers(1, 40))
def test_values_are_counted(seed: int, height: int, width: int) -> None:
    plane = noise(seed, height, width)
    np.testing.assert_array_equal(count_values(plane), np.bincount(plane.ravel(), minlength=256))
    np.testing.assert_array_equal(count_values(plane[:, ::2]), np.bincount(plane[:, ::2].ravel(), minlength=256))
    np.testing.assert_array_equal(count_values(plane[1:]), np.bincount(plane[1:].ravel(), minlength=256))


@settings(max_examples=80)
@given(st.integers(0, 1 << 30), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 3, 4, 6, 8, 16]))
def test_squares_are_summed_and_averaged_as_opencv_does(seed: int, height: int, width: int, side: int) -> None:
    plane = noise(seed, height * side, width * side)
    sums = sum_squares(plane, side)
    assert sums is not None
    floats = cv2.resize(plane.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(sums * np.float32(1 / side**2), floats, rtol=1e-6)
    averages = shrink(plane, (height, width), sums)
    assert (averages is None) == (side not in (4, 8, 16))
    if averages is not None:
        np.testing.assert_array_equal(averages, area(plane, (height, width)))


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 1 << 30),
    st.tuples(st.sampled_from([4, 8, 16, 32, 64, 128, 256]), st.integers(1, 256), st.integers(1, 3)),
    st.tuples(st.sampled_from([4, 8, 16, 32, 64, 128, 256]), st.integers(1, 256), st.integers(1, 3)),
)
def test_planes_are_shrunk_as_opencv_does(seed: int, rows: tuple[int, int, int], columns: tuple[int, int, int]) -> None:
    (height, h, m), (width, w, n) = rows, columns
    plane = noise(seed, height * m, width * n)
    shape = min(h, height) * m, min(w, width) * n
    small = shrink(plane, shape)
    if small is not None:
        np.testing.assert_array_equal(small, area(plane, shape))


@pytest.mark.parametrize(
    ("shape", "small"),
    [((512, 512), (192, 192)), ((512, 512), (160, 160)), ((384, 512), (144, 192)), ((64, 16), (4, 1))],
)
@pytest.mark.parametrize("seed", range(5))
def test_usual_sides_have_a_kernel(shape: tuple[int, int], small: tuple[int, int], seed: int) -> None:
    plane = noise(seed, *shape)
    np.testing.assert_array_equal(shrink(plane, small), area(plane, small))


@pytest.mark.parametrize(
    ("shape", "small"),
    [((500, 512), (192, 192)), ((96, 96), (32, 32)), ((64, 64), (32, 32)), ((3, 3), (2, 2)), ((512, 512), (512, 512))],
)
def test_where_sums_are_not_exact_or_rounded_otherwise_opencv_shrinks(
    shape: tuple[int, int], small: tuple[int, int]
) -> None:
    assert shrink(noise(1, *shape), small) is None


@pytest.mark.parametrize("plane", [noise(1, 9, 10), noise(1, 9, 18)[:, ::2], noise(1, 9, 9).astype(np.uint16)])
def test_other_planes_are_left_to_opencv(plane: np.ndarray) -> None:
    assert sum_squares(plane, 3) is None
    assert shrink(plane[:8, :8], (3, 3)) is None


@pytest.mark.parametrize("size", [48, 64])
@pytest.mark.parametrize("shape", [(512, 512), (384, 512), (300, 200), (64, 640)])
def test_images_and_looks_are_the_same_with_kernels_and_without(
    shape: tuple[int, int], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    planes = {
        name: cv2.GaussianBlur(rng.integers(0, 256, shape, dtype=np.uint8), (0, 0), sigma)
        for name, sigma in (("red", 0.1), ("green", 3.0), ("blue", 9.0))
    }
    found = [(look_at(planes), [convert_plane(p, size, "depth").tolist() for p in planes.values()])]
    monkeypatch.setattr(SWITCH, "kernels", None)
    assert found[0] == (look_at(planes), [convert_plane(p, size, "depth").tolist() for p in planes.values()])
