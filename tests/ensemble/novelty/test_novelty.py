"""Novelty: as many false alarms as promised, the textbook's distance, and no dependence on other rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from hpa_hier.ensemble.novelty.novelty import FALSE_ALARM, LEAST, Novelty
from hpa_hier.errors import UserError

RNG = np.random.default_rng(0)
MIX = RNG.normal(size=(6, 6))
NAMES = tuple("abcdef")


def draw(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(5, size=(count, 6)) @ MIX + 3


def test_the_distance_is_that_of_mahalanobis_under_ledoit_and_wolf() -> None:
    samples, new = draw(80), draw(5, seed=2)
    novelty = Novelty.fit(samples, NAMES)
    z = (samples - samples.mean(axis=0)) / samples.std(axis=0)
    covariance, _ = ledoit_wolf(z, assume_centered=True)
    off = (new - samples.mean(axis=0)) / samples.std(axis=0)
    expected = np.einsum("bf,fg,bg->b", off, np.linalg.inv(covariance), off) / 6
    np.testing.assert_allclose(novelty.distances(new), expected, rtol=1e-4)


def test_a_feature_that_a_sample_lacks_is_left_out_of_the_covariance() -> None:
    samples, new = draw(80), draw(3, seed=2)
    new[:, 2] = np.nan
    z = (samples - samples.mean(axis=0)) / samples.std(axis=0)
    covariance, _ = ledoit_wolf(z, assume_centered=True)
    there = [0, 1, 3, 4, 5]
    off = ((new - samples.mean(axis=0)) / samples.std(axis=0))[:, there]
    expected = np.einsum("bf,fg,bg->b", off, np.linalg.inv(covariance[np.ix_(there, there)]), off) / 5
    np.testing.assert_allclose(Novelty.fit(samples, NAMES).distances(new), expected, rtol=1e-4)


@pytest.mark.parametrize("count", [LEAST, 60, 400])
def test_no_more_of_the_same_kind_are_called_unlike_than_promised(count: int) -> None:
    shares = []
    for seed in range(20):
        novelty = Novelty.fit(draw(count, seed), NAMES)
        shares.append(novelty.find_unlike(novelty.distances(draw(200, 1000 + seed))).mean())
    assert 0.001 < np.mean(shares) < FALSE_ALARM + 3 * np.std(shares) / np.sqrt(20)


def test_what_lies_far_is_unlike_even_where_each_feature_is_usual() -> None:
    rng = np.random.default_rng(3)
    twins = np.repeat(rng.normal(size=(100, 1)), 2, axis=1) + 0.05 * rng.normal(size=(100, 2))
    novelty = Novelty.fit(twins, ("one", "other"))
    assert novelty.find_unlike(novelty.distances(np.array([[1.0, -1.0], [1.0, 1.0]]))).tolist() == [True, False]


def test_a_row_does_not_depend_on_the_others_and_a_kept_one_gives_the_same_bits() -> None:
    novelty, new = Novelty.fit(draw(80), NAMES), draw(40, seed=2)
    new[::3, 1] = np.nan
    whole = novelty.distances(new)
    assert np.concatenate([novelty.distances(new[i : i + 1]) for i in range(40)]).tobytes() == whole.tobytes()
    again = Novelty.from_tensors(novelty.features, novelty.to_tensors())
    assert again.distances(new).tobytes() == whole.tobytes()


def test_more_features_than_samples_are_told_apart_too() -> None:
    rng = np.random.default_rng(0)
    novelty = Novelty.fit(rng.normal(size=(40, 300)), [f"f{j}" for j in range(300)])
    assert novelty.factors.shape == (300, 40)
    new = rng.normal(size=(30, 300))
    assert novelty.find_unlike(novelty.distances(new)).mean() <= 0.2
    assert novelty.find_unlike(novelty.distances(3 * new)).all()


def test_features_that_never_vary_or_that_few_have_decide_nothing() -> None:
    samples = draw(50)
    samples[:, 0] = 0.0
    samples[LEAST - 1 :, 1] = np.nan
    novelty = Novelty.fit(samples, NAMES)
    assert novelty.features == ("a", "c", "d", "e", "f")
    new = samples[:1, [0, 2, 3, 4, 5]]
    assert np.isclose(novelty.distances(new + np.array([1e-6, 0, 0, 0, 0])), novelty.distances(new))[0]


def test_units_are_held_out_whole() -> None:
    samples = np.repeat(draw(30), 4, axis=0)  # four images an antibody, all but equal
    samples += 1e-3 * np.random.default_rng(0).normal(size=samples.shape)
    torn, whole = Novelty.fit(samples, NAMES), Novelty.fit(samples, NAMES, [f"a{i // 4}" for i in range(120)])
    assert np.median(whole.held_out) > np.median(torn.held_out)


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(UserError, match="18 samples of 18 units are too few to tell what is unlike them; 19 are need"):
        Novelty.fit(draw(LEAST - 1), NAMES)


def test_features_of_another_version_are_refused() -> None:
    novelty = Novelty.fit(draw(50), NAMES)
    with pytest.raises(UserError, match="distances were fitted on the feature 'f', which is missing; fit them again"):
        novelty.choose(draw(2)[:, :5], NAMES[:5])


def test_columns_are_found_by_the_names_of_features() -> None:
    novelty, new = Novelty.fit(draw(50), NAMES), draw(4, seed=2)
    order = [3, 1, 5, 0, 4, 2]
    mixed = np.column_stack([new[:, order], np.full(4, 9.0)])
    np.testing.assert_array_equal(novelty.choose(mixed, [*(NAMES[j] for j in order), "more"]), new)


def test_a_p_value_is_the_share_that_lies_as_far_the_sample_counted() -> None:
    novelty = replace(Novelty.fit(draw(50), NAMES), held_out=np.array([1.0, 2.0, 2.0, 4.0]))
    assert novelty.p_values(np.array([0.5, 1.0, 2.0, 3.0, 5.0])).tolist() == [1.0, 1.0, 0.8, 0.4, 0.2]


def test_two_units_are_enough_and_one_is_not() -> None:
    assert len(Novelty.fit(draw(40), NAMES, ["a", "b"] * 20).held_out) == 40
    with pytest.raises(UserError, match="40 samples of 1 units are too few"):
        Novelty.fit(draw(40), NAMES, ["a"] * 40)


def test_kept_arrays_of_another_size_are_refused() -> None:
    kept = Novelty.fit(draw(50), NAMES).to_tensors()
    with pytest.raises(ValueError, match="novelty of 5 features, and arrays of 6"):
        Novelty.from_tensors(NAMES[:5], kept)
    with pytest.raises(ValueError, match="novelty of 6 features"):
        Novelty.from_tensors(NAMES, kept | {"scale": np.ones(5)})


def test_a_sample_without_any_feature_lies_nowhere() -> None:
    novelty = Novelty.fit(draw(50), NAMES)
    assert novelty.distances(np.full((1, 6), np.nan)).tolist() == [0.0]
