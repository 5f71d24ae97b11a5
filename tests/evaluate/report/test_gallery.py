"""A gallery of the right images, each channel in its colour."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from hpa_hier.evaluate.report import gallery


def test_the_best_images_show_every_label_set_before_any_twice():
    f1 = np.array([1.0, 1.0, 1.0, 0.5])
    loss = np.array([0.1, 0.2, 0.3, 0.0])
    targets = np.array([[1, 0], [1, 0], [0, 1], [1, 1]], dtype=bool)
    assert gallery.best(f1, loss, targets, 4).tolist() == [0, 2, 1, 3]


def test_the_worst_images_are_the_most_surprising_of_the_least_f1():
    assert gallery.worst(np.array([0.0, 1.0, 0.0]), np.array([2.0, 9.0, 3.0]), 2).tolist() == [2, 0]


def test_the_most_uncertain_image_is_the_one_at_one_half():
    probs = np.array([[0.01, 0.99], [0.5, 0.5], [0.2, 0.9]])
    assert gallery.most_uncertain(probs, 3).tolist() == [1, 2, 0]


@pytest.mark.parametrize("channel", ["red", "green", "blue", "yellow"])
def test_a_layer_shows_black_as_black_and_the_brightest_in_its_channels_colour(channel):
    plane = np.zeros((32, 32), np.uint8)
    plane[:16] = 200
    shown = gallery.layer(plane, channel)
    assert shown.startswith("data:image/png;base64,")
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.split(",")[1]))).convert("RGB"))
    assert picture.shape == (32, 32, 3)
    assert tuple(picture[0, 0]) == gallery.COLOURS[channel]
    assert tuple(picture[-1, -1]) == (0, 0, 0)


def test_a_large_image_is_shrunk_for_the_page():
    shown = gallery.layer(np.random.default_rng(0).integers(0, 255, (512, 512), dtype=np.uint8), "green")
    assert Image.open(io.BytesIO(base64.b64decode(shown.split(",")[1]))).size == (192, 192)


def test_an_empty_channel_stays_dark():
    shown = gallery.layer(np.zeros((8, 8), np.uint8), "yellow")
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.split(",")[1]))).convert("RGB"))
    assert picture.max() == 0
