"""What is called in place of what: by hand, and against every way to pair missed with added labels."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from hpa_hier.metrics.confusion import confuse

LABELS = 5


def paired_off(present: np.ndarray, targets: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Average the matrix over every way to pair a sample's missed labels with its added ones."""
    matrix = np.zeros((LABELS + 1, LABELS + 1))
    for called, true, told in zip(present, targets, known, strict=True):
        for j in np.flatnonzero(called & true & told):
            matrix[j, j] += 1
        missed, added = (np.flatnonzero(one).tolist() for one in (true & ~called & told, called & ~true & told))
        size = max(len(missed), len(added))
        missed += [LABELS] * (size - len(missed))
        added += [LABELS] * (size - len(added))
        ways = list(permutations(added))
        for way in ways:
            for i, j in zip(missed, way, strict=True):
                matrix[i, j] += 1 / len(ways)
    return matrix


@pytest.fixture(scope="module")
def answers() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return tuple(rng.random((60, LABELS)) < share for share in (0.4, 0.4, 0.9))  # type: ignore[return-value]


def test_the_matrix_is_the_mean_over_all_ways_to_pair_missed_with_added_labels(answers):
    assert confuse(*answers).matrix() == pytest.approx(paired_off(*answers))


def test_rows_sum_to_positives_and_columns_to_calls(answers):
    present, targets, known = answers
    found = confuse(*answers)
    assert found.matrix()[:-1].sum(axis=1) == pytest.approx((targets & known).sum(axis=0))
    assert found.matrix()[:, :-1].sum(axis=0) == pytest.approx((present & known).sum(axis=0))
    assert found.positives.tolist() == (targets & known).sum(axis=0).tolist()
    assert found.called.tolist() == (present & known).sum(axis=0).tolist()


def test_with_one_label_a_sample_it_is_the_usual_confusion_matrix():
    rng = np.random.default_rng(0)
    true, called = rng.integers(0, LABELS, (2, 200))
    one = np.eye(LABELS, dtype=bool)
    found = confuse(one[called], one[true], np.ones((200, LABELS), bool))
    assert found.matrix()[:-1, :-1] == pytest.approx(confusion_matrix(true, called))
    assert found.matrix()[-1].sum() == found.matrix()[:, -1].sum() == 0
    assert found.possible.sum() == 0


def test_planted_mistakes_are_counted_as_by_hand():
    golgi, vesicles, cytosol = range(3)
    true = [{golgi}] * 9 + [{golgi, cytosol}] * 2 + [{golgi}] * 3 + [{vesicles}] * 4
    called = [{vesicles}] * 9 + [{vesicles}] * 2 + [set()] * 3 + [{vesicles, cytosol}] * 4
    targets, present = (np.array([[j in one for j in range(3)] for one in sets]) for sets in (true, called))
    found = confuse(present, targets, np.ones_like(present))
    assert found.certain[golgi, vesicles] == 9
    assert found.possible[golgi, vesicles] == found.possible[cytosol, vesicles] == 2
    assert found.swapped[golgi, vesicles] == 9 + 2 / 2
    assert found.only_missed.tolist() == [3 + 2 / 2, 0, 2 / 2]
    assert found.only_added.tolist() == [0, 0, 4]
    assert found.bare_missed.tolist() == [3, 0, 0]
    assert found.bare_added.tolist() == [0, 0, 4]
    assert found.found.tolist() == [0, 4, 0]


def test_what_the_annotation_does_not_tell_is_no_mistake():
    present, targets = np.array([[False, True]]), np.array([[True, False]])
    found = confuse(present, targets, np.array([[True, False]]))
    assert found.swapped.sum() == 0
    assert found.only_missed.tolist() == [1, 0]


def test_labels_taken_for_each_other_are_put_side_by_side():
    true, called = np.array([0, 0, 0, 1, 2, 3, 3, 1]), np.array([3, 3, 0, 2, 1, 3, 0, 1])
    one = np.eye(5, dtype=bool)
    order = confuse(one[called], one[true], np.ones((8, 5), bool)).order_alike().tolist()
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert abs(order.index(0) - order.index(3)) == 1
    assert abs(order.index(1) - order.index(2)) == 1


def test_a_label_that_was_seen_once_and_mistaken_is_put_beside_what_it_was_taken_for():
    true = np.array([0, *[1] * 5, *[2] * 5, *[3] * 5])
    called = np.array([1, *[1] * 5, *[1] * 3, 2, 2, *[1] * 3, 3, 3])  # all of 0, and 3 of 5 of 2 and of 3
    one = np.eye(4, dtype=bool)
    order = confuse(one[called], one[true], np.ones((16, 4), bool)).order_alike().tolist()
    assert abs(order.index(0) - order.index(1)) == 1


def test_two_labels_need_no_order():
    none = np.zeros((4, 2), bool)
    assert confuse(none, none, ~none).order_alike().tolist() == [0, 1]


def test_of_three_labels_the_two_that_are_taken_for_each_other_are_put_side_by_side():
    true, called = np.array([0, 0, 2, 2, 1]), np.array([2, 0, 0, 2, 1])
    one = np.eye(3, dtype=bool)
    order = confuse(one[called], one[true], np.ones((5, 3), bool)).order_alike().tolist()
    assert order.index(1) != 1
