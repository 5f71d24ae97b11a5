"""Aggregation by weights: mean, concatenation, and what nobody answers for."""

from __future__ import annotations

import numpy as np
import pytest
from ensemble_cases import SEEDS, random_graph
from examples import examples
from hypothesis import given, settings
from sklearn.metrics import f1_score

from hpa_hier.ensemble.combine.aggregate import fill_from_children
from hpa_hier.ensemble.combine.weighted_sum import combine, concat_weights, mean_weights
from hpa_hier.ensemble.fit import fit
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

often = examples(200)


@often
@given(SEEDS)
def test_weights_of_a_node_sum_to_one_and_go_only_to_members_that_answer(seed):
    covers = np.random.default_rng(seed).random((4, 9)) < 0.4
    for rule in (mean_weights, concat_weights):
        weights = rule(covers)
        assert weights.sum(axis=0) == pytest.approx(covers.any(axis=0).astype(float))
        assert (weights[~covers] == 0).all()


def test_concat_takes_the_member_with_the_fewest_nodes_and_shares_between_equals():
    covers = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 1, 0]], bool)
    expected = [[0, 0, 0, 1], [1, 0.5, 0, 0], [0, 0.5, 1, 0]]
    assert concat_weights(covers).tolist() == expected


@often
@given(SEEDS)
def test_combine_is_the_weighted_sum(seed):
    rng = np.random.default_rng(seed)
    logits, covers = rng.normal(size=(3, 5, 7)), rng.random((3, 7)) < 0.6
    weights = mean_weights(covers)
    assert combine(list(logits), weights) == pytest.approx(np.einsum("ebn,en->bn", logits, weights))


@often
@given(SEEDS)
def test_groups_nobody_answers_for_get_the_largest_child_and_others_stay(seed):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng)
    probs, answered = rng.random((4, graph.size)), rng.random(graph.size) < 0.5
    filled = fill_from_children(probs, answered, graph.order)
    for group, children in graph.order:
        expected = probs[:, group] if answered[group] else filled[:, children].max(axis=1)
        assert (filled[:, group] == expected).all()
    assert (filled[:, graph.leaves] == probs[:, graph.leaves]).all()


@settings(max_examples=50)
@given(SEEDS)
def test_invariants_macro_f1_of_a_concatenation_is_the_weighted_mean_of_its_parts(seed):
    rng = np.random.default_rng(seed)
    present = rng.random((40, 29)) < 0.4
    called = rng.random((40, 29)) < 0.5
    parts = [
        f1_score(present[:, part], called[:, part], average="macro", zero_division=0) for part in (MAJORITY, MINORITY)
    ]
    whole = f1_score(present, concatenated(present, called), average="macro", zero_division=0)
    assert whole == pytest.approx((3 * parts[0] + 26 * parts[1]) / 29)


def test_invariants_concatenating_the_reports_3_and_26_classes_gives_its_0_3990():
    """F1 is 2 TP / (2 TP + FP + FN): 6,229 TP with 3,771 FP and as many FN give 0.6229."""
    true, wrong = np.array([6229] * 3 + [3732] * 26), np.array([3771] * 3 + [6268] * 26)
    row = np.arange(true.max() + 2 * wrong.max())[:, None]
    present, called = row < true + wrong, (row < true) | ((row >= true + wrong) & (row < true + 2 * wrong))
    for part, expected in ((MAJORITY, 0.6229), (MINORITY, 0.3732)):
        assert f1_score(present[:, part], called[:, part], average="macro") == pytest.approx(expected)
    assert f1_score(present, concatenated(present, called), average="macro") == pytest.approx(0.3990, abs=5e-5)


MAJORITY, MINORITY = slice(0, 3), slice(3, 29)


def concatenated(present: np.ndarray, called: np.ndarray) -> np.ndarray:
    """Leaf decisions of an ensemble that concatenates a member for 3 leaves, one for 26 and an ignored flat one."""
    leaves = tuple(f"Leaf {i}" for i in range(29))
    lines = ["taxonomy: report", "levels: {leaf: leaves}", "tree:", "  Cell:"]
    taxonomy = Taxonomy.from_text("\n".join(lines + [f"    Leaf {i}: {{label: {i}}}" for i in range(29)]))
    ids = tuple(f"s{i:05d}" for i in range(len(present)))
    logits = np.where(called, 1.0, -1.0)
    closed = np.concatenate([present.any(axis=1, keepdims=True), present], axis=1)
    members = [
        Scores("majority", ids, leaves[MAJORITY], logits[:, MAJORITY]),
        Scores("minority", ids, leaves[MINORITY], logits[:, MINORITY]),
        Scores("leaf", ids, leaves, -logits),
    ]
    plain = EnsembleSettings(calibrate="none", aggregate="concat", refine=False, thresholds="fixed", bootstrap=0)
    ensemble = fit(members, Truth(ids, closed, np.ones_like(closed)), taxonomy, plain)
    return ensemble.predict(members).present[:, 1:]
