"""Mixing: images and labels are mixed alike, and all of it comes from the generator."""

from __future__ import annotations

import numpy as np
import pytest

from hpa_hier.models.augment.mixing import Mixes, Targets, draw_mixes, mix_images, mix_targets
from hpa_hier.settings.training import AugmentSettings

KINDS = ["mixup", "cutmix", "union_mean"]
ALL = np.ones(60, bool)


def mixing(kind: str, share: float) -> AugmentSettings:
    return AugmentSettings.model_validate({"mixing": kind, "mixing_share": share})


def drawn(kind: str, share: float = 1.0, eligible: np.ndarray = ALL, count: int = 400, side: int = 20) -> Mixes:
    places = np.random.default_rng(1).integers(0, len(eligible), count)
    return draw_mixes(mixing(kind, share), places, eligible, side, np.random.default_rng(0))


def pairs(mixes: Mixes, side: int = 20) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(2)
    images = generator.integers(0, 256, (len(mixes.partners), 5, side, side), dtype=np.uint8)
    others = generator.integers(0, 256, (len(mixes.mixed), 5, side, side), dtype=np.uint8)
    return images, others


def labels(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    present, known = (np.random.default_rng(seed).random((2, count, 6)) < 0.6).astype(np.float32)
    return present, known


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_is_mixed_with_himself_and_about_the_share_is_mixed(kind: str) -> None:
    places = np.arange(2000) % 60
    mixes = draw_mixes(mixing(kind, 0.3), places, ALL, 20, np.random.default_rng(0))
    assert abs(len(mixes.mixed) / 2000 - 0.3) < 0.03
    assert (mixes.partners[mixes.mixed] != places[mixes.mixed]).all()
    assert set(mixes.partners[mixes.mixed]) == set(range(60))


@pytest.mark.parametrize("kind", KINDS)
def test_only_eligible_images_are_mixed_and_only_with_each_other(kind: str) -> None:
    eligible = np.arange(60) % 4 == 0
    places = np.random.default_rng(1).integers(0, 60, 400)
    mixes = draw_mixes(mixing(kind, 1.0), places, eligible, 20, np.random.default_rng(0))
    assert ((mixes.partners >= 0) == eligible[places]).all()
    assert eligible[mixes.partners[mixes.mixed]].all()


def test_with_one_eligible_image_nobody_is_mixed() -> None:
    assert not len(drawn("mixup", eligible=np.arange(60) == 7).mixed)


def test_mixup_is_the_weighted_mean_of_pixels_and_labels() -> None:
    mixes = drawn("mixup", share=0.7)
    images, others = pairs(mixes)
    before = images.astype(float)
    mix_images(images, others, mixes)
    own = mixes.own[mixes.mixed]
    weights = own[:, None, None, None]
    expected = weights * before[mixes.mixed] + (1 - weights) * others
    assert np.abs(images[mixes.mixed] - expected).max() < 0.51  # rounded, from single precision
    alone = mixes.partners < 0
    assert (images[alone] == before[alone]).all()
    (mine, mine_known), (theirs, theirs_known) = labels(400, 3), labels(len(own), 4)
    present, known = mix_targets(Targets(mine, mine_known), Targets(theirs, theirs_known), mixes)
    np.testing.assert_allclose(
        present[mixes.mixed], own[:, None] * mine[mixes.mixed] + (1 - own[:, None]) * theirs, atol=1e-6
    )
    assert (known[mixes.mixed] == mine_known[mixes.mixed] * theirs_known).all()
    assert (present[alone] == mine[alone]).all()
    assert own.std() > 0.2


def test_cutmix_takes_a_square_and_labels_follow_its_area() -> None:
    mixes = drawn("cutmix")
    assert (mixes.corners >= 0).all()
    assert (mixes.corners + mixes.sides[:, None] <= 20).all()
    images, others = np.zeros((400, 3, 20, 20), np.uint8), np.full((len(mixes.mixed), 3, 20, 20), 255, np.uint8)
    mix_images(images, others, mixes)
    assert (images == images[:, :1]).all()
    np.testing.assert_allclose((images[mixes.mixed, 0] == 0).mean(axis=(1, 2)), mixes.own[mixes.mixed], atol=1e-12)
    ones = np.ones((400, 1), np.float32)
    present, _ = mix_targets(Targets(ones, ones), Targets(0 * ones[mixes.mixed], ones[mixes.mixed]), mixes)
    np.testing.assert_allclose(present[:, 0], np.where(mixes.partners >= 0, mixes.own, 1), atol=1e-6)


def test_union_mean_halves_pixels_and_keeps_all_labels_of_both() -> None:
    mixes = drawn("union_mean")
    images, others = pairs(mixes)
    before = images.astype(float)
    mix_images(images, others, mixes)
    assert np.abs(images[mixes.mixed] - (before[mixes.mixed] + others) / 2).max() <= 0.5
    (mine, mine_known), (theirs, theirs_known) = labels(400, 3), labels(len(mixes.mixed), 4)
    present, known = mix_targets(Targets(mine, mine_known), Targets(theirs, theirs_known), mixes)
    there = (mine * mine_known)[mixes.mixed] + theirs * theirs_known > 0
    assert ((present[mixes.mixed] > 0) == there).all()
    # Absent from the union is only what both are known to lack.
    assert (known[mixes.mixed][there] == 1).all()
    both = (mine_known[mixes.mixed] * theirs_known) > 0
    assert ((known[mixes.mixed] > 0)[~there] == both[~there]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_generator_draws_the_same_and_slices_agree(kind: str) -> None:
    whole, again = drawn(kind, 0.5), drawn(kind, 0.5).rows(slice(100, 140))
    for name in ("partners", "own", "corners", "sides"):
        assert (getattr(whole, name)[100:140] == getattr(again, name)).all()


def test_partners_are_drawn_by_their_chance_and_never_from_those_without_one() -> None:
    places = np.arange(10).repeat(2000)
    chance = np.array([0, 0, 1, 3, 0, 0, 0, 0, 0, 0], float)
    mixes = draw_mixes(mixing("mixup", 1.0), places, np.ones(10, bool), 8, np.random.default_rng(0), chance)
    first_times = np.arange(0, 20000, 2000)
    assert (mixes.partners[first_times] == -1).all()  # only additional copies are mixed
    assert (np.delete(mixes.partners, first_times) >= 0).all()
    others = mixes.partners[(places != 2) & (places != 3) & (mixes.partners >= 0)]  # for whom nobody had to stand in
    assert set(others) == {2, 3}
    assert (others == 3).mean() == pytest.approx(0.75, abs=0.02)
