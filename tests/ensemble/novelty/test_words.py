"""Words for what is unlike: the channel, and what is the matter with it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hpa_hier.ensemble.novelty.image_statistics import describe_images, name_statistics
from hpa_hier.ensemble.novelty.novelty import Novelty
from hpa_hier.ensemble.novelty.words import describe_reach, describe_unlike

CHANNELS, SIZE = ("red", "green", "blue"), 48


def draw(count: int, seed: int) -> np.ndarray:
    """Blobs of noise, each channel its own; some brighter, some finer."""
    rng = np.random.default_rng(seed)
    images = np.empty((count, 3, SIZE, SIZE), np.uint8)
    for image in images:
        for plane in image:
            grain = cv2.GaussianBlur(rng.normal(size=(SIZE, SIZE)).astype(np.float32), (0, 0), rng.uniform(0.8, 1.2))
            plane[:] = np.clip(rng.uniform(0.8, 1.2) * (100 + 25 * grain / grain.std()), 0, 255)
    return images


@pytest.fixture(scope="module")
def novelty() -> Novelty:
    return Novelty.fit(describe_images(draw(150, 0), CHANNELS), name_statistics(CHANNELS, SIZE))


def test_images_of_the_same_kind_are_mostly_left_alone(novelty: Novelty) -> None:
    told = describe_unlike(novelty, describe_images(draw(60, 1), CHANNELS))
    assert sum(map(bool, told)) <= 8


@pytest.mark.parametrize(
    ("channel", "change", "words"),
    [
        (1, lambda plane: cv2.GaussianBlur(plane, (0, 0), 3), "green (protein) is blurred or has no fine detail"),
        (2, lambda plane: np.zeros_like(plane), "blue (nucleus) is black"),
        (
            0,
            lambda plane: np.minimum(plane.astype(int) * 4, 255).astype(np.uint8),
            "red (microtubules) is brighter than usual",
        ),
    ],
)
def test_the_channel_and_its_fault_are_named(novelty: Novelty, channel: int, change, words: str) -> None:
    images = draw(4, 2)
    for image in images:
        image[channel] = change(image[channel])
    told = describe_unlike(novelty, describe_images(images, CHANNELS))
    assert all(text.startswith("unlike what was learned from: ") for text in told)
    assert all(words in text for text in told), told


def test_two_channels_that_are_one_picture_are_named(novelty: Novelty) -> None:
    images = draw(2, 3)
    images[:, 0] = images[:, 2]
    for text in describe_unlike(novelty, describe_images(images, CHANNELS)):
        assert "red (microtubules) and blue (nucleus) show more of the same than usual" in text


def test_features_of_vectors_are_named_with_how_far_off_they_are() -> None:
    rng = np.random.default_rng(0)
    novelty = Novelty.fit(rng.normal(size=(100, 3)), ("area", "round: ness", "c"))
    (text,) = describe_unlike(novelty, np.array([[9.0, 0.0, 0.0]]))
    assert text.startswith("unlike what was learned from: area is ")
    assert text.endswith("standard deviations above the mean")


def test_what_the_warning_is_worth_is_told(novelty: Novelty) -> None:
    assert describe_reach(novelty) == (
        "samples unlike the 150 looked at get a warning, and so do up to 5% of those like them"
    )
    assert "at least 19" in describe_reach(None)
