"""Gates: their gamma is fitted, never hard."""

from __future__ import annotations

import numpy as np
import pytest
from ensemble_cases import SEEDS
from hypothesis import given, settings

from hpa_hier.ensemble.combine.reconcile import Gate, fit_gamma, gate


def test_leaves_that_know_nothing_of_their_group_get_a_gate():
    group, leaf, present = drawn(0)
    conditional = np.column_stack([group, leaf])  # P(leaf | group): it needs the whole factor
    assert fit_gamma(conditional, present, np.ones_like(present), Gate(0, (1,))) > 0.9


def test_leaves_that_are_right_already_get_no_gate():
    group, leaf, present = drawn(1)
    joint = np.column_stack([group, group * leaf])
    assert fit_gamma(joint, present, np.ones_like(present), Gate(0, (1,))) < 0.05


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_gamma_is_in_0_to_1_and_no_grid_value_is_clearly_better(seed):
    rng = np.random.default_rng(seed)
    probs, present, known = rng.random((50, 4)), rng.random((50, 4)) < 0.5, rng.random((50, 4)) < 0.9
    one = Gate(0, (1, 2, 3))
    gamma = fit_gamma(probs, present, known, one)
    assert 0 <= gamma <= 1

    def loss(value: float) -> float:
        p = gate(probs, [Gate(0, one.leaves, value)])[:, 1:]
        each = -np.where(present[:, 1:], np.log(p), np.log1p(-p))
        return float(each[known[:, 1:]].mean())

    assert loss(gamma) <= min(loss(value) for value in np.linspace(0, 1, 101)) + 1e-6


def test_what_is_not_known_gives_no_gate():
    probs = np.full((5, 2), 0.5)
    nothing = np.zeros((5, 2), bool)
    assert fit_gamma(probs, nothing, nothing, Gate(0, (1,))) == 0.0


def test_a_leaf_below_two_groups_is_scaled_by_the_one_that_lowers_it_least():
    probs = np.array([[0.2, 0.9, 0.5]])
    both = gate(probs, [Gate(0, (2,), 1.0), Gate(1, (2,), 1.0)])
    assert both[0].tolist() == pytest.approx([0.2, 0.9, 0.45])


def test_a_leaf_below_no_gate_stays():
    probs = np.array([[0.2, 0.9, 0.5]])
    assert gate(probs, [Gate(0, (1,), 1.0)])[0].tolist() == pytest.approx([0.2, 0.18, 0.5])


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P(group), P(leaf | group), and targets (20000, 2) drawn from them."""
    rng = np.random.default_rng(seed)
    group, leaf = rng.random(20000), rng.random(20000)
    in_group = rng.random(20000) < group
    return group, leaf, np.column_stack([in_group, in_group & (rng.random(20000) < leaf)])
