"""Label trees: the mean label of the samples in the same leaves, kept as any other estimator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hpa_hier.members.estimators.label_trees import LabelTrees
from hpa_hier.members.estimators.skops_file import read_skops, write_skops


def drawn(count: int = 120, labels: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Draw vectors, and labels that each depend on one of four features."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(count, 4))
    return values, values[:, rng.integers(4, size=labels)] > rng.normal(0, 1, labels)


def test_an_answer_is_the_mean_label_of_the_training_samples_in_the_same_leaves() -> None:
    values, present = drawn()
    trees = LabelTrees(n_estimators=7, components=5, random_state=0).fit(values[:100], present[:100])
    seen, new = trees.forest_.apply(values[:100]), trees.forest_.apply(values[100:])
    expected = [np.mean([present[:100][seen[:, t] == row[t]].mean(axis=0) for t in range(7)], axis=0) for row in new]
    np.testing.assert_allclose(trees.predict_proba(values[100:]), expected, atol=1e-6)


@pytest.mark.parametrize("components", [5, 100], ids=["fewer directions than labels", "the labels themselves"])
def test_labels_that_follow_from_the_vectors_are_learned(components: int) -> None:
    values, present = drawn(600)
    trees = LabelTrees(n_estimators=40, components=components, random_state=0).fit(values[:400], present[:400])
    assert (trees.predict(values[400:]) == present[400:]).mean() > 0.85


def test_a_label_alone_is_learned() -> None:
    values, present = drawn(200, labels=1)
    trees = LabelTrees(n_estimators=20, random_state=0).fit(values, present[:, 0])
    assert trees.predict_proba(values).shape == (200, 1)


def test_a_forest_is_read_again_without_being_named_as_trusted(tmp_path: Path) -> None:
    values, present = drawn()
    trees = LabelTrees(n_estimators=3, random_state=0).fit(values, present)
    write_skops(tmp_path / "trees.skops", {"estimator": trees})
    again = read_skops(tmp_path / "trees.skops", 4)["estimator"]
    np.testing.assert_array_equal(again.predict_proba(values), trees.predict_proba(values))
