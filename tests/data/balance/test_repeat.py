"""Balance: rare labels are repeated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpa_hier.data.balance.cooccurrence import Goal, balance_factors, plan_balance
from hpa_hier.data.balance.repeat import (
    balanced_counts,
    copy_factors,
    epoch_copies,
    partner_weights,
    repeat_factors,
)
from hpa_hier.data.labels.table import read_labels, targets
from hpa_hier.taxonomy import Taxonomy

TREE = Taxonomy.load("hierarchy/hpa28.yaml")


def random_labels(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random((400, 6)) < rng.random(6) ** 4


@given(st.integers(0, 1000))
def test_every_image_is_kept_and_none_is_repeated_beyond_the_most(seed):
    factors = repeat_factors(random_labels(seed), threshold=0.1, most=5)
    assert factors.min() >= 1
    assert factors.max() <= 5


@given(st.integers(0, 1000))
def test_an_image_is_repeated_by_its_rarest_label(seed):
    present = random_labels(seed)
    factors = repeat_factors(present, threshold=0.1)
    frequency = present.mean(axis=0)
    for row in range(20):
        rarest = min((frequency[label] for label in np.flatnonzero(present[row])), default=1.0)
        assert factors[row] == round(min(8.0, max(1.0, float(np.sqrt(0.1 / rarest)))))


def test_common_labels_are_not_repeated():
    assert (repeat_factors(np.ones((10, 3), bool)) == 1).all()
    assert repeat_factors(np.zeros((4, 3), bool)).tolist() == [1, 1, 1, 1]


@given(st.integers(0, 1000))
def test_counts_after_balancing_agree_with_repeating_the_rows(seed):
    present = random_labels(seed)
    factors = repeat_factors(present, threshold=0.1)
    before, after = balanced_counts(present, factors)
    np.testing.assert_array_equal(before, present.sum(axis=0))
    np.testing.assert_array_equal(after, np.repeat(present, factors, axis=0).sum(axis=0))


REAL = Path("../shared/data/hpa/train.csv")
EVEN = np.array([[True, False]] * 9 + [[True, True]] + [[False, True]])


def goal(present: np.ndarray, target: int, bound: float = 0.15, most: int = 32) -> Goal:
    return Goal.for_all(present, target, bound, most)


@given(st.integers(0, 1000), st.integers(5, 120), st.sampled_from([0.0, 0.1, 0.5]), st.sampled_from([2, 9, 40]))
@settings(max_examples=40)
def test_a_plan_keeps_every_bound_and_reaches_the_target_or_names_who_cannot(seed, target, bound, most):
    present = random_labels(seed)
    plan = plan_balance(present, goal(present, target, bound, most))
    assert plan.factors.min() >= 1
    assert plan.factors.max() <= most
    np.testing.assert_array_equal(plan.after, (present * plan.factors[:, None]).sum(axis=0))
    common = plan.before >= target
    assert (plan.after[common] <= np.floor(plan.before[common] * (1 + bound) + 1e-9)).all()
    below = np.flatnonzero((plan.after < target) & (plan.before > 0))
    assert below.tolist() == plan.short.tolist()


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_who_is_named_as_short_cannot_reach_the_target_even_alone_or_shares_its_bounds(seed):
    present = random_labels(seed)
    plan = plan_balance(present, goal(present, 100, bound=0.02, most=6))
    for label, alone, held in zip(plan.short, plan.max_without_others, plan.limited_by, strict=True):
        assert alone >= plan.after[label]
        assert plan.before[label] * 6 < 100 or held


def test_the_plan_is_the_evenest_there_is():
    present = np.array([[True]] * 4 + [[False]] * 3)
    assert plan_balance(present, goal(present, 8)).factors.tolist() == [2, 2, 2, 2, 1, 1, 1]
    by_hand = plan_balance(EVEN, Goal(6, np.array([np.inf, np.inf])))
    assert by_hand.factors[9:].tolist() == [3, 3]
    bounded = plan_balance(EVEN, Goal(6, np.array([0.1, np.inf])))
    assert bounded.factors[9:].tolist() == [2, 4]


def test_images_of_one_label_set_differ_by_one_repeat_at_most():
    present = random_labels(3)
    plan = plan_balance(present, goal(present, 90))
    for row in np.unique(present, axis=0):
        alike = plan.factors[(present == row).all(axis=1)]
        assert alike.max() - alike.min() <= 1


def test_a_label_that_nobody_has_asks_for_nothing():
    present = np.array([[True, False]] * 5)
    plan = plan_balance(present, goal(present, 3))
    assert (plan.factors.tolist(), plan.short.tolist()) == ([1] * 5, [])


@pytest.mark.skipif(not REAL.exists(), reason="the real label table is not here")
def test_on_the_real_table_every_class_is_lifted_to_300_while_nucleoplasm_grows_by_less_than_15_per_cent():
    table = read_labels(REAL, TREE)
    present = targets(table.nodes, TREE).present[:, [TREE.column[leaf] for leaf in TREE.leaves]]
    bound = np.full(28, np.inf)
    bound[TREE.leaves.index("Nucleoplasm")] = 0.15
    plan = plan_balance(present, Goal(300, bound))
    assert plan.after.min() >= 300
    assert plan.growth[TREE.leaves.index("Nucleoplasm")] < 0.15
    tight = plan_balance(present, Goal(300, bound, most=8))
    assert {TREE.leaves[label] for label in tight.short} == {"Rods & rings", "Microtubule ends", "Lysosomes"}


@given(st.integers(0, 1000))
def test_copying_the_rare_reaches_the_target_and_drags_along_what_stands_beside_it(seed):
    present = random_labels(seed)
    _, after = balanced_counts(present, copy_factors(present, 50))
    assert (after[present.any(axis=0)] >= 50).all()
    assert balanced_counts(EVEN, copy_factors(EVEN, 6))[1].tolist() == [12, 6]


@given(st.integers(0, 1000), st.lists(st.floats(0, 7), min_size=1, max_size=60).filter(lambda w: sum(w) > 0.1))
def test_an_epoch_drawn_by_weights_holds_each_image_its_weight_or_one_more(seed, weights):
    wanted = np.array(weights)
    copies = epoch_copies(wanted, np.random.default_rng(seed))
    scaled = wanted * (round(wanted.sum()) / wanted.sum())
    assert copies.sum() == round(wanted.sum())
    assert (np.abs(copies - scaled) < 1 + 1e-9).all()


def test_epochs_drawn_by_weights_hold_each_image_as_often_as_its_weight_on_average():
    weights = np.array([0.3, 1.0, 2.6, 1.1])
    drawn = [epoch_copies(weights, np.random.default_rng([7, epoch])) for epoch in range(4000)]
    np.testing.assert_allclose(np.mean(drawn, axis=0), weights, atol=0.03)


def mixed_counts(present: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Return the (L,) images of each label to be expected when every additional copy is mixed with a partner."""
    extra = factors - 1
    beside = partner_weights(factors) @ present  # (L,) probability that a partner carries each label
    copies = extra @ present
    return present.sum(axis=0) + copies + (extra.sum() - copies) * beside


def test_mixing_repeated_images_grows_no_label_that_the_plan_does_not_repeat():
    present = random_labels(1)
    plan = plan_balance(present, goal(present, 60))
    mixed = mixed_counts(present, plan.factors)
    still = plan.after == plan.before
    np.testing.assert_allclose(mixed[still], plan.before[still])
    assert (mixed >= plan.after - 1e-9).all()
    assert (mixed <= plan.before + 2 * (plan.after - plan.before) + 1e-9).all()


def test_mixed_counts_agree_with_mixing():
    present = random_labels(2)
    factors = plan_balance(present, goal(present, 60)).factors
    rng = np.random.default_rng(0)
    extra = np.repeat(np.arange(len(present)), factors - 1)
    partners = rng.choice(len(present), (400, len(extra)), p=partner_weights(factors))
    counted = [present.sum(axis=0) + (present[extra] | present[drawn]).sum(axis=0) for drawn in partners]
    np.testing.assert_allclose(np.mean(counted, axis=0), mixed_counts(present, factors), atol=1.0)


@pytest.mark.parametrize("balance", ["none", "repeat", "cooccurrence", "weighted", "copied"])
def test_every_balance_of_a_recipe_gives_each_image_a_factor(balance):
    present = random_labels(4)
    factors = balance_factors(present, balance, 0.1, 0.15, 8)
    assert factors.shape == (400,)
    assert factors.min() >= 1
    assert np.issubdtype(factors.dtype, np.floating) == (balance == "weighted")


def test_an_unknown_balance_is_no_balance():
    with pytest.raises(ValueError, match="no balance is called 'even'"):
        balance_factors(random_labels(4), "even", 0.1, 0.15, 8)
