"""Retraining: near the old head with few samples, away from it where many agree, and never by negatives alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from hpa_hier.data.labels.table import Targets
from hpa_hier.predict.labelled.retrain import MemberAnswers, Strength, retrain

NODES = ("a", "b", "c")


def draw(samples: int, seed: int = 0) -> tuple[MemberAnswers, Targets]:
    """Features of which the first tells node a, which the old head does not know; node c has no positives."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(samples, 6))
    logits = rng.normal(size=(samples, 3)) - 1
    present = rng.random((samples, 3)) < expit(np.stack([4 * features[:, 0], 2 * logits[:, 1], logits[:, 2]], axis=1))
    present[:, 2] = False
    answers = MemberAnswers("one", NODES, logits, np.ones(3, bool), features)
    return answers, Targets(present, np.ones_like(present))


def test_a_prior_of_infinite_precision_leaves_the_head_and_moves_slope_and_offset() -> None:
    answers, targets = draw(200)
    (one,) = retrain(answers, targets, [Strength(1.0, np.inf)])
    assert one.weights is None
    np.testing.assert_array_equal(one.logits(answers), answers.logits)
    probs = expit(one.slope * answers.logits + one.offset)
    np.testing.assert_allclose(probs.mean(axis=0), targets.present.mean(axis=0), atol=0.02)


def test_the_weights_that_samples_agree_on_are_found_and_a_stronger_prior_moves_them_less() -> None:
    answers, targets = draw(300)
    weak, strong = retrain(answers, targets, [Strength(1.0, 0.1), Strength(1.0, 100.0)])
    assert weak.weights is not None
    assert strong.weights is not None
    assert np.argmax(np.abs(weak.weights[0])) == 0
    assert np.abs(strong.weights).sum() < np.abs(weak.weights).sum() / 3
    fresh, truth = draw(500, seed=1)
    here, gaps = truth.present[:, 0], []
    for one in (weak, strong):
        moved = (one.slope * one.logits(fresh) + one.offset)[:, 0]
        gaps.append(moved[here].mean() - moved[~here].mean())
    assert gaps[0] > 2 * gaps[1] > 0


def test_a_node_without_positives_keeps_its_weights_and_only_becomes_rarer() -> None:
    answers, targets = draw(100)
    (one,) = retrain(answers, targets, [Strength(1.0, 0.1)])
    assert one.weights is not None
    np.testing.assert_array_equal(one.weights[2], 0)
    assert one.slope * answers.logits[:, 2].mean() + one.offset[2] < answers.logits[:, 2].mean()


def test_a_new_node_starts_from_its_frequency() -> None:
    answers, targets = draw(60)
    new = MemberAnswers("one", NODES, answers.logits * [1, 1, 0], np.array([True, True, False]), None)
    (one,) = retrain(new, targets, [Strength(1.0, np.inf)])
    assert expit(one.offset[2]) == pytest.approx(0.5 / 61, rel=0.5)
