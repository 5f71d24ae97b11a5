"""Beta calibration against its formula, scikit-learn, and what must hold."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ensemble_cases import SEEDS
from hypothesis import given, settings
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.calibrate.beta import Beta
from hpa_hier.ensemble.calibrate.temperature import Temperature

NODES = ("a", "b")


def test_a_member_loud_on_one_side_and_timid_on_the_other_is_put_right():
    rng = np.random.default_rng(0)
    present = rng.random((20_000, 2)) < 0.3
    said = np.where(present, rng.beta(3, 1, present.shape), rng.beta(1, 1.5, present.shape))
    true = np.log(3 * said**2 / (1.5 * (1 - said) ** 0.5)) + logit(0.3)  # Bayes, of the two densities above
    targets = Targets(present, np.ones_like(present))
    found = {rule: rule.fit(NODES, logit(said), targets, 50.0).apply(logit(said)) for rule in (Beta, Temperature)}
    error = {rule: float(np.abs(expit(one) - expit(true)).mean()) for rule, one in found.items()}
    assert error[Beta] < 0.01
    assert error[Temperature] > 0.1


def test_it_is_the_logistic_regression_on_the_logarithms_of_both_answers():
    true, targets = drawn(5_000)
    fitted = Beta.fit(NODES, 2 * true, targets, 50.0)
    slope = Temperature.fit(NODES, 2 * true, targets, 50.0).slope[0]
    p = expit(slope * 2 * true.ravel())
    inputs = np.column_stack([np.log(p), -np.log1p(-p)])
    reference = LogisticRegression(C=1e6, tol=1e-8).fit(inputs, targets.present.ravel())
    found = np.array([fitted.low, fitted.high, fitted.offset[0]])
    assert found == pytest.approx([*reference.coef_[0], reference.intercept_[0]], abs=0.02)


@pytest.mark.parametrize("samples", [3, 10, 100])
def test_on_few_labels_it_is_the_likeliest_under_a_normal_prior_around_the_temperature_alone(samples):
    """Of precision 1, as a count of observations: no step from what is found makes samples and prior likelier."""
    true, targets = drawn(samples)
    fitted = Beta.fit(NODES, 3 * true, targets, 50.0)
    scaled = 3 * true * fitted.slope
    design = np.stack([-np.logaddexp(0, -scaled), np.logaddexp(0, scaled), np.ones_like(scaled)])

    def loss(parameters: np.ndarray) -> float:
        total = np.tensordot(parameters, design, 1)
        apart = parameters - [1.0, 1.0, 0.0]
        return float((np.logaddexp(0, total) - targets.present * total).sum() + apart @ apart / 2)

    found = np.array([fitted.low, fitted.high, fitted.offset[0]])
    slopes = [(loss(found + step) - loss(found - step)) / 2e-5 for step in 1e-5 * np.eye(3)]
    assert np.abs(found - [1, 1, 0]).max() > 0.01
    np.testing.assert_allclose(slopes, 0, atol=1e-3)


def test_without_labels_it_is_the_temperature():
    true, targets = drawn(10)
    nothing = Targets(targets.present, np.zeros_like(targets.known))
    fitted = Beta.fit(NODES, true, nothing, 50.0)
    assert (fitted.low, fitted.high, *fitted.offset) == (1.0, 1.0, 0.0, 0.0)
    np.testing.assert_allclose(fitted.apply(true), Temperature.fit(NODES, true, nothing, 50.0).apply(true), atol=1e-9)


@settings(max_examples=200)
@given(SEEDS)
def test_it_is_finite_and_keeps_the_order_of_samples(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(40, 2)) * 10.0 ** rng.integers(-3, 4, 2) + rng.normal(size=2) * 20
    present, known = rng.random((40, 2)) < rng.choice([0.0, 0.02, 0.5, 1.0], 2), rng.random((40, 2)) < 0.9
    calibrated = Beta.fit(NODES, logits, Targets(present, known), 50.0).apply(logits)
    assert np.isfinite(calibrated).all()
    order = np.argsort(logits, axis=0)
    assert (np.diff(np.take_along_axis(calibrated, order, axis=0), axis=0) >= 0).all()


def test_it_comes_back_from_its_file_to_the_last_bit():
    true, targets = drawn(300)
    fitted = Beta.fit(NODES, true, targets, 50.0)
    again = Beta.from_json(json.loads(json.dumps(fitted.to_json())))
    np.testing.assert_array_equal(again.apply(true), fitted.apply(true))


def drawn(size: int) -> tuple[np.ndarray, Targets]:
    """Logits (size, 2) and targets that they are right about."""
    rng = np.random.default_rng(0)
    true = rng.normal(-1, 2, (size, 2))
    present = rng.random(true.shape) < expit(true)
    return true, Targets(present, np.ones_like(present))
