"""Told apart: found where scores rank better than chance, and seldom anything where none do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.decide.thresholds import HALF, NEVER
from hpa_hier.ensemble.decide.told_apart import FALSE_SHARE, find_told_apart, ranking_p_values
from hpa_hier.ensemble.decision import Decision
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

TREE = Taxonomy.from_text(
    "taxonomy: t\nlevels: {coarse: 1, leaf: leaves}\ntree:\n  G:\n    a: {label: 0}\n    b: {label: 1}\n"
    "  H:\n    c: {label: 2}\n    d: {label: 3}\n"
)
SETTINGS = EnsembleSettings(bootstrap=0)


def known(present: np.ndarray) -> Targets:
    return Targets(present, np.ones_like(present))


def test_a_p_value_is_that_of_scipys_rank_sum_test_with_ties():
    rng = np.random.default_rng(0)
    probs, present = rng.random((60, 5)).round(1), rng.random((60, 5)) < 0.3
    for j, value in enumerate(ranking_p_values(probs, known(present))):
        one, other = probs[present[:, j], j], probs[~present[:, j], j]
        test = stats.mannwhitneyu(one, other, alternative="greater", method="asymptotic", use_continuity=False)
        assert value == pytest.approx(test.pvalue, rel=1e-9)


def test_offsets_between_fits_do_not_hide_what_is_ranked_right_within_each():
    rng = np.random.default_rng(1)
    fold = np.repeat([0, 1], 50)
    present = (np.arange(100) % np.where(fold == 0, 3, 10) == 0)[:, None]
    probs = 0.1 * rng.random((100, 1)) + 0.1 * present + np.where(fold == 0, 0.0, 0.5)[:, None]
    assert ranking_p_values(probs, known(present))[0] > 0.1  # the second fit says more of everything
    assert ranking_p_values(probs, known(present), fold)[0] < 1e-6


def test_what_is_not_known_does_not_count_and_what_cannot_be_tested_is_nan():
    rng = np.random.default_rng(2)
    probs, present = rng.random((40, 3)), rng.random((40, 3)) < 0.4
    present[:, 1], present[:, 2] = False, True
    targets = Targets(present, np.arange(40)[:, None].repeat(3, axis=1) < 25)
    found = ranking_p_values(probs, targets)
    assert found[0] == pytest.approx(ranking_p_values(probs[:25], known(present[:25]))[0])
    assert np.isnan(found[1:]).all()


def test_where_scores_say_nothing_some_node_is_found_as_seldom_as_promised():
    rng = np.random.default_rng(3)
    found = []
    for _ in range(400):
        present = rng.random((60, 20)) < rng.uniform(0.05, 0.4, 20)
        found.append(find_told_apart(ranking_p_values(rng.random((60, 20)), known(present))).any())
    assert np.mean(found) <= FALSE_SHARE + 3 * np.sqrt(FALSE_SHARE * (1 - FALSE_SHARE) / 400)


def drawn(rng: np.random.Generator, skill: float, size: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Draw coherent probabilities of TREE that carry as much of the truth as `skill` says, and closed targets."""
    leaves = [TREE.column[leaf] for leaf in TREE.leaves]
    present = np.zeros((size, len(TREE.nodes)), bool)
    present[np.arange(size), rng.choice(leaves, size, p=[0.5, 0.3, 0.15, 0.05])] = True
    present = TREE.close(present)
    return np.clip(
        present.mean(axis=0) + skill * (present - 0.5) + 0.01 * rng.normal(size=present.shape), 0, 1
    ), present


def test_an_ensemble_that_tells_nothing_apart_is_unsure_of_every_sample():
    probs, present = drawn(np.random.default_rng(6), skill=0.0)
    decision = Decision.fit(probs, known(present), TREE, SETTINGS)
    assert set(decision.thresholds.rules) == {HALF}
    called, safe = decision.decide(probs)
    assert not called.any()
    assert (safe.column == -1).all()
    assert decision.describe() == (
        "0 of 4 classes are told apart: 4 are ranked no better than by chance and called only above 0.5"
    )


def test_an_ensemble_that_tells_all_apart_keeps_its_thresholds():
    probs, present = drawn(np.random.default_rng(6), skill=0.3)
    decision = Decision.fit(probs, known(present), TREE, SETTINGS)
    assert {HALF, NEVER}.isdisjoint(decision.thresholds.rules)
    assert decision.describe() == ""
    assert (decision.decide(probs)[0] == TREE.close(decision.thresholds.apply(probs))).all()


def test_a_node_that_is_not_told_apart_is_present_beside_one_that_is():
    probs, present = drawn(np.random.default_rng(6), skill=0.3)
    decision = Decision.fit(probs, known(present), TREE, SETTINGS)
    a, c = TREE.column["a"], TREE.column["c"]
    rules = [HALF if node == "a" else rule for node, rule in zip(TREE.nodes, decision.thresholds.rules, strict=True)]
    thresholds = replace(decision.thresholds, rules=tuple(rules), values=np.full(len(rules), 0.5))
    said = np.zeros((2, len(TREE.nodes)))
    said[:, a] = 0.6
    said[1, c] = 0.6
    called = replace(decision, thresholds=thresholds).decide(said)[0]
    assert not called[0].any()
    assert called[1, [a, c]].all()


@pytest.mark.parametrize("rule", ["f1", "plugin", "fixed"])
def test_a_class_without_positives_is_never_called_and_its_group_may_be(rule):
    rng = np.random.default_rng(6)
    probs, present = drawn(rng, skill=0.3)
    rows = ~present[:, TREE.column["d"]]
    settings = SETTINGS.model_copy(update={"thresholds": rule, "fixed_threshold": 0.3})
    learned = np.array([node != "d" for node in TREE.nodes])
    decision = Decision.fit(probs[rows], known(present[rows]), TREE, settings, learned=learned)
    sure = np.ones((1, len(TREE.nodes)))
    called = dict(zip(TREE.nodes, decision.decide(sure)[0][0], strict=True))
    assert called == {"G": True, "a": True, "b": True, "H": True, "c": True, "d": False}
    assert "1 had no positive to learn from and is never called" in decision.describe()
    trusted = Decision.fit(probs[rows], known(present[rows]), TREE, settings)  # where the members learned is unknown
    assert trusted.decide(sure)[0][0].all()
    by_hand = settings.model_copy(update={"hand_thresholds": {"d": 0.4}})
    assert Decision.fit(probs[rows], known(present[rows]), TREE, by_hand).decide(sure)[0].all()
