"""Ranking: the same with and without places, thresholds that call what ranks say, and F1 of each of them."""

from __future__ import annotations

import numpy as np
import pytest

from hpa_hier.metrics import scores
from hpa_hier.metrics.ranking import Ranked, f1_curve


def draw(seed, samples=40, nodes=4):
    """Probabilities with ties, ends and zeros among them, and what is present and known."""
    rng = np.random.default_rng(seed)
    probs = np.round(rng.random((samples, nodes)), 1)
    return probs, rng.random((samples, nodes)) < 0.3, rng.random((samples, nodes)) < 0.8


@pytest.mark.parametrize("seed", range(5))
def test_places_are_kept_where_asked_for_and_change_nothing_else(seed):
    probs, present, known = draw(seed)
    plain, ordered = Ranked.of(probs, present, known), Ranked.of(probs, present, known, ordered=True)
    assert plain.order.shape == (4, 0)
    np.testing.assert_array_equal(plain.probs, -np.sort(-probs.T, axis=1))
    np.testing.assert_array_equal(plain.probs, ordered.probs)
    np.testing.assert_array_equal(plain.ends, ordered.ends)
    assert plain.ends[:, -1].all()
    for n, order in enumerate(ordered.order):
        assert sorted(order) == list(range(40))
        np.testing.assert_array_equal(ordered.probs[n], probs[order, n])
        np.testing.assert_array_equal(ordered.hits[n], (present & known)[order, n])
        np.testing.assert_array_equal(ordered.counted[n], known[order, n])
    for one in ("hits", "counted"):  # equal probabilities may lie in another order, their counts at each end do not
        both = (np.cumsum(getattr(ranked, one), axis=1)[plain.ends] for ranked in (plain, ordered))
        np.testing.assert_array_equal(*both)


def test_some_nodes_alone_are_ranked_as_among_all():
    ranked = Ranked.of(*draw(1), ordered=True)
    some = ranked.rows((2, 0))
    for name in ("order", "probs", "hits", "counted", "ends"):
        np.testing.assert_array_equal(getattr(some, name), getattr(ranked, name)[[2, 0]])


def test_a_threshold_calls_as_many_samples_present_as_its_rank_says():
    rng = np.random.default_rng(2)
    probs = np.concatenate([np.zeros((1, 3)), np.ones((1, 3)), rng.random((20, 3))])
    ranked = Ranked.of(probs, probs > 0.5, np.ones_like(probs, bool))
    ranks = np.tile(np.arange(23), (3, 1))
    thresholds = ranked.thresholds_at(ranks)
    called = (probs.T[:, None, :] >= thresholds[:, :, None]).sum(axis=2)
    np.testing.assert_array_equal(called, ranks)
    falling = -np.sort(-probs, axis=0).T
    np.testing.assert_allclose(thresholds[:, 1:-1], (falling[:, :-1] + falling[:, 1:]) / 2)
    assert (thresholds[:, 0] == np.nextafter(1, 2)).all()  # as files of ensembles have it
    assert (thresholds[:, -1] == 0).all()


def test_neighbours_in_floating_point_are_parted_by_the_upper_one():
    probs = np.array([[0.5], [np.nextafter(0.5, 1)]])
    ranked = Ranked.of(probs, probs > 0.5, np.ones((2, 1), bool))
    assert ranked.thresholds_at(np.array([[1]])) == np.nextafter(0.5, 1)


@pytest.mark.parametrize("seed", range(5))
def test_the_curve_is_f1_at_each_threshold_that_there_is(seed):
    probs, present, known = draw(seed)
    ranked = Ranked.of(probs, present, known)
    curve = f1_curve(ranked)
    for n in range(4):
        for k in range(40):
            if not ranked.ends[n, k]:
                assert curve[n, k] == -1
                continue
            called = probs[:, [n]] >= ranked.probs[n, k]
            right = (called & present[:, [n]] & known[:, [n]]).sum()
            wanted = 2 * right / max(1, (called & known[:, [n]]).sum() + (present & known)[:, n].sum())
            assert curve[n, k] == pytest.approx(wanted)


def test_weights_count_samples_as_often_as_a_resample_holds_them():
    probs, present, known = draw(3, nodes=1)
    weights = np.random.default_rng(4).integers(0, 3, (6, 40)).astype(np.float32)
    ranked = Ranked.of(probs, present, known, ordered=True)
    curve = f1_curve(ranked, weights[:, ranked.order[0]])
    for r in range(6):
        for k in np.flatnonzero(ranked.ends[0]):
            called = probs >= ranked.probs[0, k]
            counts = scores.count(called, present, known, weights[r : r + 1])
            if weights[r] @ (present & known)[:, 0]:
                assert curve[r, k] == pytest.approx(float(scores.f1(counts)[0, 0]))
