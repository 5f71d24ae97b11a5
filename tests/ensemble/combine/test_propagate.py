"""Propagation against sums over every set of leaves."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from ensemble_cases import SEEDS, random_taxonomy
from hypothesis import given, settings
from scipy.special import expit, logit

from hpa_hier.ensemble.combine.propagate import Graph, propagate
from hpa_hier.taxonomy import Taxonomy

often = settings(max_examples=100)
SMALL = """taxonomy: small
levels: {top: 1, middle: 2, leaf: leaves}
tree:
  A:
    B:
      b1: {label: 1}
      b2: {label: 2}
    C:
      c1: {label: 3}
    a1: {label: 4}
  D:
    d1: {label: 5}
    d2: {label: 6}
"""


@often
@given(SEEDS)
def test_on_a_tree_every_marginal_is_that_of_the_sum_over_all_sets_of_leaves(seed):
    rng = np.random.default_rng(seed)
    tree = Taxonomy.from_text(SMALL)
    graph = Graph.from_taxonomy(tree)
    probs = rng.random((1, len(tree.nodes)))
    heard = graph.is_group & (rng.random((1, len(tree.nodes))) < 0.6)
    evidence = np.where(heard, rng.normal(size=heard.shape) * 3, 0.0)
    found = propagate(probs, evidence, heard, graph)
    exact = marginals(tree, probs[0], evidence[0])
    leaves, groups = list(graph.leaves), list(graph.groups)
    assert found.leaves(probs)[0, leaves] == pytest.approx(exact[leaves], abs=1e-12)
    assert expit(found.group_logits)[0, groups] == pytest.approx(exact[groups], abs=1e-12)


def marginals(tree: Taxonomy, probs: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    columns = [tree.column[leaf] for leaf in tree.leaves]
    present = np.zeros((2 ** len(columns), len(probs)), bool)
    present[:, columns] = list(product([False, True], repeat=len(columns)))
    present = tree.close(present)
    leaves = np.where(present[:, columns], probs[columns], 1 - probs[columns]).prod(axis=1)
    weight = leaves * np.exp((present * evidence).sum(axis=1))
    return weight @ present / weight.sum()


def test_one_group_gives_the_formula_of_bayes() -> None:
    tree = Taxonomy.from_text(
        "taxonomy: t\nlevels: {leaf: leaves}\ntree:\n  G:\n    a: {label: 1}\n    b: {label: 2}\n"
    )
    graph, probs = Graph.from_taxonomy(tree), np.array([[0.0, 0.3, 0.6]])
    evidence, heard = np.array([[-1.7, 0.0, 0.0]]), np.array([[True, False, False]])
    found = propagate(probs, evidence, heard, graph).leaves(probs)[0, 1:]
    sibling = np.array([0.6, 0.3])  # what explains the group without the leaf
    assert logit(found) == pytest.approx(logit(probs[0, 1:]) - np.log(sibling + (1 - sibling) * np.exp(1.7)))


@often
@given(SEEDS)
def test_without_evidence_no_bit_of_a_leaf_changes_and_a_group_is_the_noisy_or_of_its_leaves(seed):
    rng = np.random.default_rng(seed)
    taxonomy = random_taxonomy(rng)  # also with several parents
    graph, probs = Graph.from_taxonomy(taxonomy), rng.random((3, len(taxonomy.nodes)))
    found = propagate(probs, np.zeros_like(probs), np.zeros(probs.shape, bool), graph)
    leaves = list(graph.leaves)
    assert found.leaves(probs)[:, leaves].tobytes() == probs[:, leaves].tobytes()
    for group in graph.groups:
        below = [taxonomy.column[leaf] for leaf in taxonomy.leaves_below(taxonomy.nodes[group])]  # each once
        assert expit(found.group_logits[:, group]) == pytest.approx(1 - (1 - probs[:, below]).prod(axis=1), abs=1e-12)


@often
@given(SEEDS)
def test_a_leaf_of_two_groups_that_say_the_same_gains_what_one_of_them_says(seed):
    rng = np.random.default_rng(seed)
    text = "tree:\n  G:\n    a: {label: 1, also_under: [H]}\n  H:\n    b: {label: 2}\n"
    two = Taxonomy.from_text(f"taxonomy: t\nlevels: {{leaf: leaves}}\n{text}")
    graph, column = Graph.from_taxonomy(two), two.column
    probs, evidence = np.zeros((1, 4)), np.zeros((1, 4))
    probs[0, column["a"]], said = rng.random(), rng.normal() * 3
    evidence[0, [column["G"], column["H"]]] = said
    both = propagate(probs, evidence, graph.is_group[None], graph).shift[0, column["a"]]
    only = propagate(probs, evidence * (np.arange(4) == column["G"]), np.arange(4)[None] == column["G"], graph)
    assert both == pytest.approx(said)
    assert only.shift[0, column["a"]] == pytest.approx(said)


def test_a_group_of_two_groups_that_say_the_same_hands_down_what_one_of_them_says():
    graph = Graph(((2, (3,)), (0, (2,)), (1, (2,))), (3,), ((3,), (2, 3), (2, 3)))  # 0 and 1 above 2, above leaf 3
    probs, evidence = np.array([[0.0, 0.0, 0.0, 0.2]]), np.array([[1.3, 1.3, 0.0, 0.0]])
    assert propagate(probs, evidence, evidence > 0, graph).shift[0] == pytest.approx([0, 0, 0, 1.3])


@often
@given(SEEDS)
def test_loud_answers_and_certain_ones_stay_finite_and_rows_stay_their_own(seed):
    rng = np.random.default_rng(seed)
    taxonomy = random_taxonomy(rng)
    graph = Graph.from_taxonomy(taxonomy)
    probs = expit(rng.choice([-800.0, -40.0, 0.3, 40.0, 800.0], (9, len(taxonomy.nodes))))
    heard = graph.is_group & (rng.random(probs.shape) < 0.7)
    evidence = np.where(heard, rng.choice([-1200.0, -80.0, 2.0, 80.0, 1200.0], probs.shape), 0.0)
    found = propagate(probs, evidence, heard, graph)
    leaves = found.leaves(probs)
    assert np.isfinite(found.shift).all()
    assert np.isfinite(found.group_logits).all()
    assert ((leaves >= 0) & (leaves <= 1)).all()
    row = int(rng.integers(9))
    alone = propagate(probs[[row]], evidence[[row]], heard[[row]], graph)
    assert alone.shift.tobytes() == found.shift[[row]].tobytes()
    assert alone.leaves(probs[[row]]).tobytes() == leaves[[row]].tobytes()
    assert alone.group_logits.tobytes() == found.group_logits[[row]].tobytes()
