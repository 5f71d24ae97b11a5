"""How long estimators are said to take."""

from __future__ import annotations

import pytest
import torch

from hpa_hier.members.estimators.fitted import Lesson
from hpa_hier.settings.recipe import Recipe
from hpa_hier.settings.training import TrainingSettings
from hpa_hier.training.forecast import Samples, forecast_fit, forecast_training
from hpa_hier.training.proposal import fit_into

LINEAR = TrainingSettings(backbone="sklearn", estimator="logistic_regression")


def test_estimators_take_longer_by_the_power_that_fits_on_fewer_samples_show(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def fit(estimator: object, lesson: Lesson, seed: int) -> None:
        clock[0] += 1e-6 * len(lesson.values) ** 2

    monkeypatch.setattr("hpa_hier.training.forecast.fit_nodes", fit)
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    for count in (50, 64_000):
        assert forecast_fit(LINEAR, Samples(count, ("a", "b"), 1), count) == pytest.approx(1e-6 * count**2)


def test_an_estimator_that_refuses_noise_stops_no_forecast() -> None:
    settings = TrainingSettings(backbone="sklearn", estimator="svm", estimator_parameters={"nu": 0.5})
    settings = settings.model_copy(update={"estimator": "sklearn.svm.NuSVC", "estimator_parameters": {"nu": 0.9}})
    assert forecast_fit(settings, Samples(100, ("a",), 1), 100) == 0.0


def test_every_fold_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpa_hier.training.forecast.forecast_fit", lambda settings, samples, count: float(count))
    settings = LINEAR.model_copy(update={"folds": 5})
    seconds = forecast_training([settings, settings], Samples(100, ("a",), 1), torch.device("cpu"), slots=1)
    assert seconds == pytest.approx(2 * (5 * 80 + 3.3))


def test_estimators_are_not_cut_short() -> None:
    recipe = Recipe.model_validate({"training": {"backbone": "sklearn", "estimator": "svm"}})
    assert fit_into(1200.0, 600.0, recipe) == ()
