"""Balance and partition: rare labels are repeated, majority and minority divide the leaves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpa_hier.config import PartitionSettings
from hpa_hier.data.balance import balanced_counts, repeat_factors
from hpa_hier.data.partition import divide
from hpa_hier.errors import UserError
from hpa_hier.taxonomy import Taxonomy

TREE = Taxonomy.load("hierarchy/hpa28.yaml")


def random_labels(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random((400, 6)) < rng.random(6) ** 4


@given(st.integers(0, 1000))
@settings(deadline=None)
def test_every_image_is_kept_and_none_is_repeated_beyond_the_most(seed):
    factors = repeat_factors(random_labels(seed), threshold=0.1, most=5)
    assert factors.min() >= 1
    assert factors.max() <= 5


@given(st.integers(0, 1000))
@settings(deadline=None)
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
@settings(deadline=None)
def test_counts_after_balancing_agree_with_repeating_the_rows(seed):
    present = random_labels(seed)
    factors = repeat_factors(present, threshold=0.1)
    before, after = balanced_counts(present, factors)
    np.testing.assert_array_equal(before, present.sum(axis=0))
    np.testing.assert_array_equal(after, np.repeat(present, factors, axis=0).sum(axis=0))


@given(st.dictionaries(st.sampled_from(TREE.leaves), st.integers(0, 3000)), st.integers(1, 3000))
@settings(deadline=None)
def test_majority_and_minority_divide_the_leaves(counts, least):
    sides = divide(counts, 3000, PartitionSettings(majority_min_images=least), TREE)
    majority, minority = sides.majority, sides.minority
    assert sides.min_images == least
    assert sorted(majority + minority) == sorted(TREE.leaves)
    assert all(counts[leaf] >= least for leaf in majority)
    assert all(counts.get(leaf, 0) < least for leaf in minority)
    assert list(majority) == [leaf for leaf in TREE.leaves if leaf in majority]


def test_named_majority_leaves_win_over_counts():
    settings = PartitionSettings(majority=("cytosol", "0"))
    sides = divide({"Golgi apparatus": 9999}, 9999, settings, TREE)
    assert (sides.majority, len(sides.minority), sides.min_images) == (("Nucleoplasm", "Cytosol"), 26, 0)


@given(st.lists(st.integers(0, 3000), min_size=28, max_size=28), st.integers(1, 30000))
@settings(deadline=None)
def test_the_twentieth_leaves_neither_side_empty_where_counts_differ(of_leaves, images):
    sides = divide(dict(zip(TREE.leaves, of_leaves, strict=True)), images, PartitionSettings(), TREE)
    if len(set(of_leaves)) > 1:
        assert sides.majority
        assert sides.minority


def test_a_majority_leaf_has_a_twentieth_of_the_images():
    counts = dict.fromkeys(TREE.leaves, 49) | {"Cytosol": 50}
    sides = divide(counts, 1000, PartitionSettings(), TREE)
    assert (sides.majority, sides.min_images) == (("Cytosol",), 50)


@pytest.mark.parametrize("name", ["Nucleus", "Cytosoll"])
def test_a_majority_name_must_be_a_leaf(name):
    with pytest.raises(UserError, match=f"partition.majority: '{name}' is no leaf of 'hpa28'"):
        divide({}, 0, PartitionSettings(majority=(name,)), TREE)
