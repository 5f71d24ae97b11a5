"""What training watches: against scikit-learn, at every scale and threshold there is."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import f1_score, log_loss

from hpa_hier.data.labels.table import Targets
from hpa_hier.training.loop.watched import best_f1, macro_f1, prevalence_log_loss, sample_f1, scaled_log_loss


def test_the_log_loss_is_sklearns_at_the_best_of_all_scales() -> None:
    generator = np.random.default_rng(0)
    logits, known = 6 * generator.normal(size=(60, 4)), generator.random((60, 4)) < 0.8
    present = generator.random((60, 4)) < expit(logits / 4)
    losses = [log_loss(present[known], expit(scale * logits[known])) for scale in np.linspace(0.05, 1.5, 300)]
    assert scaled_log_loss(logits, present, known) == pytest.approx(min(losses), abs=1e-4)
    assert 0 < int(np.argmin(losses)) < 299  # a best scale between the ends, and not the logits' own
    assert scaled_log_loss(logits, present, known) < log_loss(present[known], expit(logits[known])) - 0.1


def test_the_log_loss_judges_an_epoch_by_what_calibration_cannot_give() -> None:
    generator = np.random.default_rng(1)
    logits, known = generator.normal(size=(200, 5)), np.ones((200, 5), bool)
    present = generator.random((200, 5)) < expit(2 * logits)
    assert scaled_log_loss(9 * logits, present, known) == pytest.approx(scaled_log_loss(logits, present, known))
    worse = logits + generator.normal(size=logits.shape)
    assert scaled_log_loss(worse, present, known) > scaled_log_loss(logits, present, known) + 0.05


def test_on_a_few_images_random_scores_have_no_better_log_loss_than_shares_but_a_high_f1() -> None:
    """Why F1 at each node's own best threshold is not what an epoch is picked by."""
    generator = np.random.default_rng(2)
    shares, known = np.full(28, 0.05), np.ones((12, 28), bool)
    gains, scores = [], []
    for _ in range(200):
        train, present = (generator.random((rows, 28)) < shares for rows in (60, 12))
        logits = generator.normal(size=(12, 28))
        from_shares = prevalence_log_loss(present, known, Targets(train, np.ones_like(train)))
        gains.append(from_shares - scaled_log_loss(logits, present, known))
        scores.append(macro_f1(logits, present, known))
    assert np.mean(gains) < 0
    assert np.mean(scores) > 0.35  # where calling everything has 0.1


def test_the_log_loss_of_shares_is_sklearns() -> None:
    generator = np.random.default_rng(3)
    train, present = generator.random((40, 3)) < 0.3, generator.random((30, 3)) < 0.3
    known = generator.random((30, 3)) < 0.7
    shares = np.broadcast_to((train.sum(axis=0) + 0.5) / 41, present.shape)
    expected = log_loss(present[known], shares[known])
    assert prevalence_log_loss(present, known, Targets(train, np.ones_like(train))) == pytest.approx(expected)


@examples(50)
@given(seed=st.integers(0, 10_000), rounded=st.booleans())
def test_best_f1_is_the_best_that_scikit_learn_finds_over_all_thresholds(seed: int, rounded: bool) -> None:
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(15, 3))
    logits = np.round(logits) if rounded else logits  # runs of equal logits
    present, known = generator.random((2, 15, 3)) < 0.6
    got = best_f1(logits, present, known)
    for column in range(3):
        rows = known[:, column]
        truth, scores = present[rows, column], logits[rows, column]
        if not truth.any():
            assert np.isnan(got[column])
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            best = max(f1_score(truth, scores >= threshold) for threshold in scores)
        assert got[column] == pytest.approx(best)


def test_nodes_without_positives_are_left_out_of_the_mean() -> None:
    logits = np.array([[1.0, 0.0], [0.0, 1.0]])
    present = np.array([[True, False], [False, False]])
    assert macro_f1(logits, present, np.ones((2, 2), bool)) == 1.0
    assert macro_f1(logits, np.zeros((2, 2), bool), np.ones((2, 2), bool)) == 0.0


def test_sample_f1_is_sklearns_at_each_nodes_best_threshold() -> None:
    generator = np.random.default_rng(0)
    logits, present = generator.normal(size=(80, 5)), generator.random((80, 5)) < 0.4
    logits = logits + present
    called = np.zeros_like(present)
    for node in range(5):
        cuts = -np.sort(-logits[:, node])  # of equally good ones, the highest
        scores = [f1_score(present[:, node], logits[:, node] >= cut) for cut in cuts]
        called[:, node] = logits[:, node] >= cuts[int(np.argmax(scores))]
    counts = (present | called).any(axis=1)
    expected = f1_score(present[counts], called[counts], average="samples", zero_division=0)
    assert sample_f1(logits, present, np.ones_like(present)) == pytest.approx(expected)


def test_sample_f1_does_not_see_what_is_unknown() -> None:
    generator = np.random.default_rng(1)
    logits, present, known = generator.normal(size=(40, 4)), *(generator.random((2, 40, 4)) < 0.6)
    assert sample_f1(logits, present, known) == sample_f1(logits, np.where(known, present, ~present), known)
    assert sample_f1(logits, present, np.zeros_like(known)) == 0
