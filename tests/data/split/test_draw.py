"""The test part: a random sample of groups, whose label counts nothing else knows, and no class missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpa_hier.data.split.draw import draw_test_part
from hpa_hier.data.split.split import PARTS, make_split, split
from hpa_hier.settings.recipe import SplitSettings

SHARE, OTHERS = 0.2, 2


def draw(carried: np.ndarray, sizes: np.ndarray, seed: int) -> np.ndarray:
    return draw_test_part(carried, sizes, SHARE, OTHERS, np.random.default_rng(seed))


@given(st.integers(3, 80), st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=200)
def test_each_class_of_three_units_is_on_both_sides_and_a_rarer_one_is_outside(U, L, seed):
    rng = np.random.default_rng(seed)
    carried = np.zeros((U, L), bool)
    carried[np.arange(U), np.minimum(rng.geometric(0.5, U) - 1, L - 1)] = True  # one label a unit: none is tied
    test = draw(carried, rng.integers(1, 6, U), seed)
    units, inside = carried.sum(axis=0), carried[test].sum(axis=0)
    assert (inside[units >= 3] >= 1).all()
    assert test.any()
    if units.max() > 1:  # else the test part has classes of its own, since it would be empty without
        assert (units - inside >= np.clip(units - 1, np.minimum(units, 1), 2)).all()


def test_the_part_has_its_share_of_images_as_closely_as_whole_units_allow():
    rng = np.random.default_rng(0)
    for seed in range(50):
        sizes = rng.integers(1, 9, 60)
        test = draw(rng.random((60, 5)) < 0.1, sizes, seed)
        assert abs(sizes[test].sum() - SHARE * sizes.sum()) <= 1


def test_a_unit_of_half_of_all_images_is_not_the_test_part_and_a_unit_that_every_class_needs_stays_outside():
    sizes = np.array([50, *[1] * 50])
    assert not any(draw(np.ones((51, 1), bool), sizes, seed)[0] for seed in range(20))
    alone = np.zeros((51, 1), bool)
    alone[7] = True
    assert not any(draw(alone, np.ones(51), seed)[7] for seed in range(50))


def test_counts_of_common_classes_vary_as_those_of_random_draws_do():
    rng = np.random.default_rng(1)
    carried = rng.random((400, 6)) < np.array([0.5, 0.3, 0.2, 0.1, 0.05, 0.01])
    counts = np.array([carried[draw(carried, np.ones(400), seed)].sum(axis=0) for seed in range(1000)])
    total = carried.sum(axis=0)
    expected = SHARE * total * (1 - total / 400) * (1 - SHARE) * 400 / 399  # hypergeometric
    np.testing.assert_allclose(counts[:, :5].var(axis=0) / expected[:5], 1.0, atol=0.15)  # 3 standard errors
    np.testing.assert_allclose(counts[:, :5].mean(axis=0) / (SHARE * total[:5]), 1.0, atol=0.04)
    assert (counts >= 1).all()
    equal = np.array([carried[split(carried, [""] * 400, (0.6, 0.2, 0.2), s) == 2].sum(axis=0) for s in range(5)])
    assert (equal[:, :5].var(axis=0) / expected[:5] < 0.1).all()  # what a stratified test part would do


def test_counts_of_the_calibration_part_say_nothing_about_the_test_part():
    """What a threshold that counts could use: how far the calibration part's counts foretell the test part's."""
    fractions, rng = (0.6, 0.2, 0.2), np.random.default_rng(0)
    counts: dict[str, list[np.ndarray]] = {"stratified": [], "drawn": []}
    for seed in range(60):
        present = rng.random((300, 20)) < 0.08  # tables of one population: what is beyond them, nobody can know
        drawn = make_split(
            list(map(str, range(300))), present, [""] * 300, SplitSettings(fractions=fractions, seed=seed)
        )
        stratified = [PARTS[p] for p in split(present, [""] * 300, fractions, seed)]
        for name, parts in (("stratified", stratified), ("drawn", drawn.parts)):
            sides = [present[np.array(parts) == part].sum(axis=0) for part in ("calibration", "test")]
            counts[name].append(np.stack(sides))
    known = {name: np.corrcoef(*np.concatenate(found, axis=1))[0, 1] for name, found in counts.items()}
    assert abs(known["drawn"]) < 0.1  # 1,200 pairs: 3.5 standard errors
    assert known["stratified"] > 0.8  # what it would be otherwise


@pytest.mark.parametrize("folds", [0, 3])
def test_the_order_of_the_rows_changes_nothing(folds):
    rng = np.random.default_rng(2)
    present = rng.random((120, 5)) < 0.2
    ids = [f"s{i}" for i in range(120)]
    groups = [f"g{i // 3}" if i < 60 else "" for i in range(120)]
    first = make_split(ids, present, groups, SplitSettings(folds=folds, seed=4))
    order = rng.permutation(120)
    turned = make_split(
        [ids[i] for i in order], present[order], [groups[i] for i in order], SplitSettings(folds=folds, seed=4)
    )
    assert turned.digest == first.digest
    assert make_split(ids, present, groups, SplitSettings(folds=folds, seed=5)).digest != first.digest


def test_images_of_one_class_each_still_have_a_test_part():
    test = draw_test_part(np.eye(28, dtype=bool), np.ones(28), 0.15, 2, np.random.default_rng(0))
    assert test.sum() == 4
