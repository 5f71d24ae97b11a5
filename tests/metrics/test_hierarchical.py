"""Hierarchical precision, recall and F1 against HiClass's own public test cases, and against closed arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpa_hier.errors import UserError
from hpa_hier.metrics.hierarchical import hierarchical_f1, hierarchical_precision, hierarchical_recall
from hpa_hier.metrics.scores import count, micro_f1, precision, recall, sample_f1

# The cases of scikit-learn-contrib/hiclass, tests/test_metrics.py (5.0): metric, true, predicted, average, value.
_BOTH = [["human", "mermaid"], ["fish", "mermaid"]]
_ONE = [["human", "mermaid"], ["", ""]]
_BULL = [["human", "minotaur"], ["bull", "minotaur"]]
_FOUR, _SWAPPED = [[1, 2, 3, 4], [1, 2, 5, 6]], [[1, 2, 5, 6], [1, 2, 3, 4]]
_MIXED = [["2", "3"], ["1"], ["4", "5", "6"]]
P, R, F = hierarchical_precision, hierarchical_recall, hierarchical_f1
HICLASS = [
    (P, [1, 2, 3, 4], [1, 2, 5, 6], "micro", 0.5),
    (P, _FOUR, _SWAPPED, "micro", 0.5),
    (P, [_ONE, _BULL], [_BOTH, _BULL], "micro", 5 / 6),
    (P, [1, 2, 3, 4], [1, 5, 6, 7], "macro", 0.25),
    (P, _FOUR, [[1, 5, 6, 7], [1, 2, 3, 4]], "macro", 0.375),
    (P, [_ONE, _BULL], [_BOTH, _BULL], "macro", 5 / 6),
    (R, [1, 2, 3, 4], [1, 5, 6, 7], "micro", 0.25),
    (R, [[1, 2], [1, 2]], _SWAPPED, "micro", 1.0),
    (R, _SWAPPED, [[1, 2], [1, 2]], "micro", 0.5),
    (R, [_BOTH, _BULL], [_ONE, _BULL], "micro", 5 / 6),
    (R, [1, 2, 3, 5], [1, 5, 6, 7], "macro", 0.25),
    (R, [[1, 2], [1, 2]], [[1, 5, 6, 7], [1, 2, 3, 4]], "macro", 0.75),
    (R, [[1, 5, 6, 7], [1, 2, 3, 4]], [[1, 2], [1, 2]], "macro", 0.375),
    (R, [_BOTH, _BULL], [_ONE, _BULL], "macro", 5 / 6),
    (F, [1, 2, 3, 4], [1, 2, 5, 6], "micro", 0.5),
    (F, _FOUR, _SWAPPED, "micro", 0.5),
    (F, [_BOTH, _BULL], [_ONE, _BULL], "micro", 10 / 11),
    (F, [1, 2, 3, 4], [1, 2, 3, 4], "macro", 1.0),
    (F, _FOUR, [[1, 5, 6], [1, 2, 3]], "macro", 3 / 7),
    (F, [_BOTH, _BULL], [_ONE, _BULL], "macro", 0.9),
    (F, _MIXED, [["1"], ["2", "3"], ["4", "5", "6"]], "micro", 0.5),
    (F, _MIXED, _MIXED, "micro", 1.0),
]


@pytest.mark.parametrize(("metric", "true", "predicted", "average", "value"), HICLASS)
def test_hiclass_own_cases_give_the_same_numbers(metric, true, predicted, average: str, value: float) -> None:
    assert math.isclose(metric(true, predicted, average), value, rel_tol=1e-12)
    assert metric(true, true, average) == 1


@pytest.mark.parametrize(("metric", "true", "predicted", "average", "value"), HICLASS)
def test_arrays_give_what_lists_give(metric, true, predicted, average: str, value: float) -> None:
    if len({len(row) if isinstance(row, list) else 0 for row in (*true, *predicted)}) == 1:
        assert math.isclose(metric(np.array(true), np.array(predicted), average), value, rel_tol=1e-12)


def test_hiclass_itself_says_so() -> None:
    reference = pytest.importorskip("hiclass.metrics", reason="hiclass is not installed; it is no dependency")
    for metric, true, predicted, average, value in HICLASS:
        theirs = getattr(reference, metric.__name__.removeprefix("hierarchical_"))
        assert math.isclose(theirs(true, predicted, average), value, rel_tol=1e-12)


def _closed(seed: int) -> tuple[np.ndarray, np.ndarray, list[list[str]], list[list[str]]]:
    """Draw decisions and targets of two groups with three leaves each, closed, and the same as lists of names."""
    rng, names = (
        np.random.default_rng(seed),
        np.array(["A", "B", *(f"{group}{leaf}" for group in "AB" for leaf in "123")]),
    )
    arrays = []
    for _ in range(2):
        leaves = rng.random((40, 6)) < 0.3
        arrays.append(np.column_stack([leaves[:, :3].any(axis=1), leaves[:, 3:].any(axis=1), leaves]))
    present, targets = arrays
    return present, targets, *([names[row].tolist() for row in one] for one in arrays)


@pytest.mark.parametrize("seed", range(3))
def test_names_give_what_closed_arrays_give(seed: int) -> None:
    present, targets, predicted, true = _closed(seed)
    known = np.ones_like(present)
    pooled = count(present, targets, known).pooled()
    assert math.isclose(hierarchical_precision(true, predicted), float(precision(pooled)))
    assert math.isclose(hierarchical_recall(true, predicted), float(recall(pooled)))
    assert math.isclose(hierarchical_f1(true, predicted), float(micro_f1(count(present, targets, known))))
    macro = float(sample_f1(present, targets, known).mean())
    assert math.isclose(hierarchical_f1(true, predicted, "macro"), macro)


def test_a_sample_without_any_predicted_label_has_no_precision_to_average() -> None:
    assert hierarchical_precision([["A"], ["B"]], [["A"], [None]], "macro") == 1
    assert hierarchical_recall([["A"], ["B"]], [["A"], [""]], "macro") == 0.5


def test_other_lengths_and_averages_are_refused() -> None:
    with pytest.raises(UserError, match="y_true has 3 samples and y_pred 2"):
        hierarchical_f1([1, 2, 3], [1, 2])
    with pytest.raises(UserError, match="there is no 'weighted'; choose micro or macro"):
        hierarchical_f1([1], [1], "weighted")
