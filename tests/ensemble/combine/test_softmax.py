"""Softmax: an exclusive taxonomy's probabilities are coherent shares, and each sample is called one leaf."""

from __future__ import annotations

import numpy as np
import pytest
from ensemble_cases import SEEDS, draw_members, taxonomy_text
from hypothesis import given, settings

from hpa_hier.ensemble import ensemble_file as keep
from hpa_hier.ensemble.combine.softmax import Softmax, share_out
from hpa_hier.ensemble.fit import fit
from hpa_hier.ensemble.scores.scores import Truth
from hpa_hier.errors import UserError
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

often = settings(max_examples=100)
QUICK = EnsembleSettings(bootstrap=0, folds=2)


def exclusive(rng: np.random.Generator) -> Taxonomy:
    return Taxonomy.from_text("exclusive: true\n" + taxonomy_text(rng))


def one_leaf_each(rng: np.random.Generator, taxonomy: Taxonomy, size: int) -> Truth:
    present = np.zeros((size, len(taxonomy.nodes)), bool)
    present[np.arange(size), [taxonomy.column[leaf] for leaf in rng.choice(taxonomy.leaves, size)]] = True
    return Truth(tuple(f"s{i:04d}" for i in range(size)), taxonomy.close(present), np.ones_like(present))


@often
@given(SEEDS)
def test_invariants_leaves_add_up_to_one_groups_to_their_leaves_and_nothing_contradicts_the_graph(seed):
    rng = np.random.default_rng(seed)
    taxonomy = exclusive(rng)
    raw = rng.random((30, len(taxonomy.nodes))) ** 3
    answered = np.array([taxonomy.is_leaf(node) for node in taxonomy.nodes])
    probs = Softmax(taxonomy, float(rng.uniform(0.2, 5))).apply(raw, answered)
    leaves = [taxonomy.column[leaf] for leaf in taxonomy.leaves]
    np.testing.assert_allclose(probs[:, leaves].sum(axis=1), 1)
    np.testing.assert_allclose(probs, np.minimum(probs[:, leaves] @ taxonomy.closure[leaves], 1))
    for node, parent in taxonomy.graph.reverse().edges:
        assert (probs[:, taxonomy.column[parent]] >= probs[:, taxonomy.column[node]]).all()
    assert (np.argmax(probs[:, leaves], axis=1) == np.argmax(raw[:, leaves], axis=1)).all()
    alone = Softmax(taxonomy, 0.7)
    assert alone.apply(raw[:1], answered).tobytes() == alone.apply(raw, answered)[:1].tobytes()


def test_a_group_that_nobody_answers_for_has_the_sum_of_its_leaves_and_no_more_than_1():
    tree = "tree: {G: {a: {label: 0}, b: {label: 1}}, c: {label: 2}}"
    taxonomy = Taxonomy.from_text(f"{{taxonomy: t, exclusive: true, levels: {{leaf: leaves}}, {tree}}}")
    columns = [taxonomy.column[node] for node in "Gabc"]
    probs, answered = np.zeros((2, 4)), np.zeros(4, bool)
    probs[:, columns], answered[columns] = [[0, 0.25, 0.5, 0.1], [0, 0.75, 0.5, 0.1]], [False, True, True, True]
    filled = Softmax(taxonomy, 1.0).fill(probs, answered)
    assert filled[:, columns].tolist() == [[0.75, 0.25, 0.5, 0.1], [1.0, 0.75, 0.5, 0.1]]


def test_the_power_found_is_that_which_made_the_shares():
    rng = np.random.default_rng(0)
    taxonomy = Taxonomy.from_text(
        "taxonomy: t\nexclusive: true\nlevels: {leaf: leaves}\ntree: {a: {label: 0}, b: {label: 1}, c: {label: 2}}\n"
    )
    shares = rng.dirichlet([1, 1, 1], 20000)
    present = np.eye(3, dtype=bool)[[rng.choice(3, p=row) for row in shares]]
    truth = Truth(tuple(map(str, range(20000))), present, np.ones_like(present))
    loud = share_out(shares, 2.0)
    assert Softmax.fit(loud, np.ones(3, bool), truth.targets, taxonomy).power == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("seed", range(4))
def test_an_exclusive_ensemble_calls_one_leaf_and_all_above_and_is_kept(seed, tmp_path):
    rng = np.random.default_rng(seed)
    taxonomy = exclusive(rng)
    truth = one_leaf_each(rng, taxonomy, 120)
    members = draw_members(rng, truth, taxonomy)
    ensemble = fit(members, truth, taxonomy, QUICK)
    assert ensemble.reconcile == "softmax"
    found = ensemble.predict(members)
    leaves = [taxonomy.column[leaf] for leaf in taxonomy.leaves]
    called = found.present[:, leaves].sum(axis=1)
    assert set(called.tolist()) <= {0, 1}
    assert called.mean() > 0.5
    assert (found.present == taxonomy.close(found.present)).all()
    rows = np.flatnonzero(called)
    seen = [j for j in leaves if truth.present[:, j].any()]
    assert (found.present[np.ix_(rows, seen)].argmax(axis=1) == found.probs[np.ix_(rows, seen)].argmax(axis=1)).all()
    keep.save(ensemble, tmp_path)
    again = keep.load(tmp_path).predict(members)
    assert again.probs.tobytes() == found.probs.tobytes()
    assert again.present.tobytes() == found.present.tobytes()


def test_softmax_is_for_exclusive_taxonomies_alone_and_they_have_no_thresholds_by_hand():
    rng = np.random.default_rng(0)
    taxonomy = exclusive(rng)
    truth = one_leaf_each(rng, taxonomy, 40)
    members = draw_members(rng, truth, taxonomy)
    by_hand = QUICK.model_copy(update={"hand_thresholds": {taxonomy.leaves[0]: 0.4}})
    with pytest.raises(UserError, match="hand_thresholds: without effect, since 'drawn' is exclusive"):
        fit(members, truth, taxonomy, by_hand)
    plain = Taxonomy.from_text(taxonomy.text.replace("exclusive: true\n", ""))
    with pytest.raises(UserError, match="reconcile: softmax gives each sample one leaf, and <text> is not exclusive"):
        fit(members, truth, plain, QUICK.model_copy(update={"reconcile": "softmax"}))
