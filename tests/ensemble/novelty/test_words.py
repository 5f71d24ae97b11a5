"""Words for what is unlike: the channel, and what is the matter with it."""

from __future__ import annotations

from dataclasses import replace

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


def test_at_most_two_features_are_named_the_furthest_first_and_none_that_is_near() -> None:
    rng = np.random.default_rng(0)
    novelty = Novelty.fit(rng.normal(size=(200, 4)), ("a", "b", "c", "d"))

    def told(*deviations: float) -> list[str]:
        (text,) = describe_unlike(novelty, (novelty.mean + novelty.scale * np.array(deviations))[None])
        return text.removeprefix("unlike what was learned from: ").split(", ")

    assert told(-6, 9, 1.9, 7) == [
        "b is 9.0 standard deviations above the mean",
        "d is 7.0 standard deviations above the mean",
    ]
    assert told(-9, 1.9, 0, 0) == ["a is 9.0 standard deviations below the mean"]
    novelty = replace(novelty, mean=np.zeros(4), scale=np.ones(4))
    assert told(-9, 2, 0, 0) == [
        "a is 9.0 standard deviations below the mean",
        "b is 2.0 standard deviations above the mean",
    ]


def test_detail_is_fine_up_to_two_pixels_and_coarse_from_sixteen() -> None:
    names = [f"red: detail {1 << k}" for k in range(5)]
    novelty = Novelty.fit(np.random.default_rng(0).normal(size=(200, 5)), names)
    words = {
        0: "is blurred or has no fine detail",
        1: "is blurred or has no fine detail",
        2: "has less contrast than usual",
        3: "has less contrast than usual",
        4: "is more even than usual",
    }
    for k, said in words.items():
        low = novelty.mean - 9 * novelty.scale * (np.arange(5) == k)
        assert describe_unlike(novelty, low[None]) == (f"unlike what was learned from: red (microtubules) {said}",)
