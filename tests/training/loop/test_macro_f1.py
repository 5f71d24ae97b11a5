"""The watched F1: against scikit-learn at every threshold there is."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from hpa_hier.training.loop.macro_f1 import best_f1, macro_f1, sample_f1


@settings(max_examples=50, deadline=None)
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
