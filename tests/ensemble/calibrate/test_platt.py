"""Calibration against scikit-learn and against what must hold."""

from __future__ import annotations

import numpy as np
import pytest
from ensemble_cases import SEEDS
from hypothesis import given, settings
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.calibrate.beta import Beta
from hpa_hier.ensemble.calibrate.calibration import Calibration, Uncalibrated
from hpa_hier.ensemble.calibrate.isotonic import Isotonic
from hpa_hier.ensemble.calibrate.platt import Platt
from hpa_hier.ensemble.calibrate.temperature import QUIETEST, Temperature

often = settings(max_examples=200)


def platt(
    nodes: tuple[str, ...], logits: np.ndarray, present: np.ndarray, known: np.ndarray, shrink: float
) -> Calibration:
    return Platt.fit(nodes, logits, Targets(present, known), shrink)


@often
@given(SEEDS)
def test_calibration_is_finite_and_keeps_the_order_of_samples(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(40, 3)) * 10.0 ** rng.integers(-3, 4, 3) + rng.normal(size=3) * 20
    present, known = rng.random((40, 3)) < rng.choice([0.0, 0.02, 0.5, 1.0], 3), rng.random((40, 3)) < 0.9
    fitted = platt(("a", "b", "c"), logits, present, known, float(rng.choice([0.0, 50.0, 1e6])))
    assert np.isfinite(fitted.slope).all()
    assert np.isfinite(fitted.offset).all()
    assert (fitted.slope > 0).all()
    order = np.argsort(logits, axis=0)
    assert (np.diff(np.take_along_axis(fitted.apply(logits), order, axis=0), axis=0) >= 0).all()


def test_a_node_alone_gets_the_logistic_regression_on_platts_goals():
    logits, present, known = drawn(0)
    fitted = platt(("a", "b"), logits, present, known, shrink=0.0)
    for node in range(2):
        slope, offset = reference(logits[:, node], present[:, node])
        assert fitted.slope[node] == pytest.approx(slope, rel=1e-3)
        assert fitted.offset[node] == pytest.approx(offset, rel=1e-3)


def test_without_positives_of_its_own_a_node_gets_the_shared_slope():
    logits, present, known = drawn(1)
    shrunk = platt(("a", "b"), logits, present, known, shrink=1e12)
    assert shrunk.slope[0] == pytest.approx(shrunk.slope[1], rel=1e-6)
    own = platt(("a", "b"), logits, present, known, shrink=0.0)
    assert own.slope.min() < shrunk.slope[0] < own.slope.max()


def test_half_the_slope_is_its_own_at_as_many_positives_as_shrink_says():
    logits, present, known = drawn(2)
    few = float(min(present[:, 0].sum(), (~present[:, 0]).sum()))
    half = platt(("a", "b"), logits, present, known, shrink=few)
    own, shared = (platt(("a", "b"), logits, present, known, shrink).slope[0] for shrink in (0.0, 1e12))
    assert half.slope[0] == pytest.approx((own + shared) / 2, rel=1e-6)


def test_calibrated_probabilities_have_the_mean_of_the_targets():
    logits, present, known = drawn(3)
    fitted = platt(("a", "b"), logits, present, known, shrink=50.0)
    assert expit(fitted.apply(logits)).mean(axis=0) == pytest.approx(present.mean(axis=0), abs=0.005)


def test_what_is_not_known_does_not_count():
    logits, present, known = drawn(4)
    known[::3, 0] = False
    fitted = platt(("a", "b"), logits, present, known, shrink=0.0)
    logits[::3, 0] = -77.0
    present[::3, 0] = ~present[::3, 0]
    again = platt(("a", "b"), logits, present, known, shrink=0.0)
    assert again.slope == pytest.approx(fitted.slope)
    assert again.offset == pytest.approx(fitted.offset)


def test_a_member_that_is_wrong_is_flattened_but_not_turned_round():
    logits, present, known = drawn(5)
    fitted = platt(("a", "b"), logits, ~present, known, shrink=0.0)
    assert fitted.slope * np.sqrt(logits.var(axis=0).mean()) == pytest.approx([QUIETEST, QUIETEST])


@pytest.mark.parametrize("rule", [Temperature, Platt, Isotonic, Beta])
@pytest.mark.parametrize("wrong", [False, True])
def test_how_loud_a_member_is_changes_nothing_about_its_calibrated_logits(rule: type[Calibration], wrong: bool) -> None:
    logits, present, known = drawn(7)
    targets = Targets(present != wrong, known)
    plain = rule.fit(("a", "b"), logits, targets, 50.0).apply(logits)
    in_order = np.take_along_axis(plain, np.argsort(logits, axis=0), axis=0)
    assert np.diff(in_order, axis=0).min() >= 0
    assert (in_order[-1] > in_order[0]).all()
    for loud in (1e-3, 7.0, 1e4):
        again = rule.fit(("a", "b"), logits * loud, targets, 50.0).apply(logits * loud)
        assert again == pytest.approx(plain, rel=1e-5, abs=1e-6)


def test_a_node_that_is_not_known_at_all_changes_nothing_for_the_others():
    logits, present, known = drawn(6)
    alone = platt(("a",), logits[:, :1], present[:, :1], known[:, :1], shrink=50.0)
    known[:, 1] = False
    both = platt(("a", "b"), logits, present, known, shrink=50.0)
    assert both.slope[0] == pytest.approx(alone.slope[0], rel=1e-6)
    assert both.slope[1] == pytest.approx(both.slope[0], rel=0.5)


def test_identity_changes_no_bit():
    logits = np.random.default_rng(0).normal(size=(5, 2))
    assert (
        Uncalibrated.fit(("a", "b"), logits, Targets(logits > 0, logits == logits), 0.0).apply(logits).tobytes()
        == logits.tobytes()
    )


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits that are twice too sure for the first node and too shy for the second; (600, 2)."""
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(600, 2)) * 2 - [1.0, 0.0]
    present = rng.random((600, 2)) < expit(true)
    return true * [2.0, 0.5] + 3, present, np.ones((600, 2), bool)


def reference(logits: np.ndarray, present: np.ndarray) -> tuple[float, float]:
    """Scikit-learn's logistic regression, with each sample standing for both classes by Platt's goals."""
    positives, negatives = present.sum(), (~present).sum()
    goals = np.where(present, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    model = LogisticRegression(C=1e12, tol=1e-10, max_iter=10000)
    x, y = np.concatenate([logits, logits])[:, None], np.repeat([1, 0], len(logits))
    model.fit(x, y, sample_weight=np.concatenate([goals, 1 - goals]))
    return float(model.coef_[0, 0]), float(model.intercept_[0])
