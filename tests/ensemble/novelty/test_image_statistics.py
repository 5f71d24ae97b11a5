"""Statistics of images: rows stand alone, and what a channel lacks is not guessed."""

from __future__ import annotations

import numpy as np
import pytest

from hpa_hier.ensemble.novelty.image_statistics import describe_images, name_statistics


@pytest.mark.parametrize("size", [8, 33, 64])
def test_names_and_columns_are_as_many_at_any_size(size: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 2, size, size), dtype=np.uint8)
    rows = describe_images(images, ("green", "blue"))
    assert rows.shape == (3, len(name_statistics(("green", "blue"), size)))
    assert np.isfinite(rows).all()


def test_a_row_does_not_depend_on_the_other_images() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8)
    rows = describe_images(images, ("red", "green", "blue"))
    for i in range(5):
        assert describe_images(images[i : i + 1], ("red", "green", "blue")).tobytes() == rows[i : i + 1].tobytes()


def test_what_a_missing_channel_takes_part_in_is_nan_and_nothing_else() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32), dtype=np.uint8)
    channels = ("red", "green", "blue")
    row = describe_images(images, channels, [("blue",)])[0]
    of_blue = np.array(["blue" in name for name in name_statistics(channels, 32)])
    assert (np.isnan(row) == of_blue).all()


def test_each_statistic_answers_to_what_it_is_called() -> None:
    rng = np.random.default_rng(0)
    names = name_statistics(("red", "green"), 64)
    noise = rng.integers(0, 200, (1, 2, 64, 64), dtype=np.uint8)
    stripes = np.tile((np.arange(64) // 2 % 2 * 150).astype(np.uint8), (64, 1))

    def measured(image: np.ndarray) -> dict[str, float]:
        return dict(zip(names, describe_images(image, ("red", "green"))[0], strict=True))

    plain, same = measured(noise), measured(np.repeat(noise[:, :1], 2, axis=1))
    assert abs(plain["red and green: likeness 1"]) < 0.1 < 2 < same["red and green: likeness 1"]
    lined = measured(np.stack([stripes, noise[0, 1]])[None])
    assert lined["red: lines"] > 0.9 > lined["green: lines"] > 0
    assert measured(noise // 8)["green: brightness"] < plain["green: brightness"]
    blurred = noise.reshape(1, 2, 16, 4, 16, 4).mean(axis=(3, 5)).repeat(4, 2).repeat(4, 3).astype(np.uint8)
    assert measured(blurred)["red: detail 1"] < plain["red: detail 1"] - 1
    assert measured(np.full((1, 2, 64, 64), 255, np.uint8))["red: saturated"] == 1
