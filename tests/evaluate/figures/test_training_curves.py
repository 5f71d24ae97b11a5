"""Training curves: a row a member, whole epochs, nothing from a single epoch."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hpa_hier.evaluate.figures.training_curves import draw_training_curves
from hpa_hier.evaluate.training_record import TrainingRecord


def record(**columns: list[float]) -> TrainingRecord:
    history = pd.DataFrame(columns)
    manifest = SimpleNamespace(name="leaf", best_epoch=2)
    return TrainingRecord(manifest, history.set_index(history.index + 1))


@pytest.mark.parametrize("watched", ["calibration_log_loss", "calibration_macro_f1"])  # the latter: before 0.9
def test_each_curve_has_its_values_over_epochs_from_one(watched):
    figure = draw_training_curves([record(**{"train_loss": [3.0, 1.0, np.nan], watched: [0.1, 0.2, 0.3]})])
    loss, score = figure.axes
    assert loss.lines[0].get_xdata().tolist() == [1, 2, 3]
    assert loss.lines[0].get_ydata()[:2].tolist() == [3.0, 1.0]
    assert score.lines[0].get_ydata().tolist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("epochs", [2, 3, 8, 30, 200])
def test_epochs_are_counted_in_whole_numbers(epochs):
    axes = draw_training_curves([record(train_loss=list(np.linspace(1, 0, epochs)))]).axes[0]
    assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_one_epoch_is_no_curve():
    assert draw_training_curves([record(train_loss=[0.5])]) is None
