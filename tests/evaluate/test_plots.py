"""Colours that can be read, charts whose points lie where they should, and a gallery of the right images."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from hpa_hier.evaluate import gallery, plots
from hpa_hier.evaluate.colours import contrast, ramp, step_of


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_on_every_step_of_the_ramp(theme):
    for fill, ink in ramp(theme):
        assert contrast(fill, ink) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_ramp_moves_away_from_the_paper_step_by_step(theme):
    first = ramp(theme)[0][0]
    away = [contrast(fill, first) for fill, _ in ramp(theme)]
    assert away == sorted(away)
    assert away[-1] > 7


def test_contrast_of_black_and_white_is_21():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_values_beyond_the_ramp_take_its_ends_and_none_stays_none():
    assert [step_of(value) for value in (-1, 0, 0.5, 1, 2, None)] == [0, 0, 5, 10, 10, None]


@pytest.mark.parametrize("bounds", [(0, 1), (1, 20), (0.03, 0.047), (1, 2), (0, 12_885)])
def test_ticks_are_few_round_and_inside(bounds):
    values = plots.round_values(*bounds, 5)
    assert 2 <= len(values) <= 11
    assert all(bounds[0] - 1e-9 <= value <= bounds[1] + 1e-9 for value, _ in values)
    assert [float(label) for _, label in values] == pytest.approx([value for value, _ in values])


def test_curves_stay_inside_their_frame():
    chart = plots.curves("loss", {"train_loss": [3.0, 1.0, None, 0.2], "calibration_loss": [2.0] * 4}, from_zero=False)
    left, top, right, bottom = chart.frame
    points = [tuple(map(float, pair.split(","))) for line in chart.lines for pair in line.points.split()]
    assert len(points) == 7
    assert all(left <= x <= right and top <= y <= bottom for x, y in points)


@pytest.mark.parametrize("epochs", [2, 3, 8, 30, 200])
def test_epochs_are_counted_in_whole_numbers_from_one(epochs):
    chart = plots.curves("loss", {"train_loss": list(np.linspace(1, 0, epochs))}, from_zero=True)
    labels = [label for _, label in chart.x_ticks]
    assert labels
    assert all(label.isdecimal() and 1 <= int(label) <= epochs for label in labels)


def test_one_epoch_is_no_curve():
    assert plots.curves("loss", {"train_loss": [0.5], "calibration_loss": []}, from_zero=False) is None


def test_a_flat_curve_is_drawn_too():
    chart = plots.curves("macro F1", {"calibration_macro_f1": [0.0, 0.0, 0.0]}, from_zero=True)
    assert len(chart.lines[0].points.split()) == 3


def test_a_perfectly_calibrated_bin_lies_on_the_ideal_line():
    chart = plots.reliability(
        {"ensemble": [{"prob": 0.3, "share": 0.3, "low": 0.2, "high": 0.4, "entries": 50}], "flat": []}
    )
    (start, end) = (tuple(map(float, pair.split(","))) for pair in chart.lines[0].points.split())
    x, y = map(float, chart.lines[-1].points.split(","))
    assert (x - start[0]) / (end[0] - start[0]) == pytest.approx(0.3, abs=0.01)
    assert (y - start[1]) / (end[1] - start[1]) == pytest.approx(0.3, abs=0.01)


def test_pairs_are_true_below_the_diagonal_and_predicted_above():
    targets = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=bool)
    present = np.array([[1, 0, 1], [1, 1, 0], [0, 0, 1]], dtype=bool)
    matrix = plots.cooccurrence(("Cytosol", "Nucleoli", "Aggresome"), targets, present)
    assert matrix.rows[1][0].words == "Nucleoli + Cytosol: 2 true"
    assert matrix.rows[0][1].words == "Cytosol + Nucleoli: 1 predicted"
    assert matrix.rows[0][2].words == "Cytosol + Aggresome: 1 predicted"
    assert matrix.rows[2][2].words == "Aggresome: 1 images"
    assert matrix.pairs == [("Cytosol", "Nucleoli", 2, 1)]


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
