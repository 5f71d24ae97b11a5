"""Prior shift: what Bayes' rule says of other class frequencies, coherent, with the same calls."""

from __future__ import annotations

import numpy as np
import pytest
from ensemble_cases import SEEDS, draw_members, draw_truth, random_taxonomy
from hypothesis import given, settings
from scipy.special import expit

from hpa_hier.ensemble.calibrate.prior import Prior, PriorShift
from hpa_hier.ensemble.fit import fit
from hpa_hier.errors import UserError
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

PAIR = Taxonomy.from_text("{taxonomy: t, levels: {leaf: leaves}, tree: {A: {label: 1}, B: {label: 2}}}")


def test_probabilities_are_what_bayes_says_of_the_new_shares() -> None:
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(500, 2))  # the log-likelihood ratio of what is seen is 2 x
    old, new = np.array([0.3, 0.6]), np.array([0.05, 0.6])
    here, there = (expit(2 * seen + np.log(share / (1 - share))) for share in (old, new))
    moved = PriorShift(PAIR, Prior("here", old), Prior("there", new)).apply(here)
    assert np.allclose(moved, there)
    assert (moved[:, 1] == here[:, 1]).all()


def test_of_an_exclusive_tree_leaves_share_one_by_the_ratio_of_their_shares() -> None:
    tree = Taxonomy.from_text(
        "{taxonomy: t, exclusive: true, levels: {leaf: leaves}, "
        "tree: {G: {A: {label: 1}, B: {label: 2}}, C: {label: 3}}}"
    )
    column = [tree.column[node] for node in ("G", "A", "B", "C")]
    fitted, new, probs = np.zeros(4), np.zeros(4), np.zeros((1, 4))
    fitted[column], new[column], probs[0, column] = (0.6, 0.4, 0.2, 0.4), (0.6, 0.1, 0.5, 0.4), (0.8, 0.6, 0.2, 0.2)
    moved = PriorShift(tree, Prior("here", fitted), Prior("there", new)).apply(probs)[0, column]
    weights = np.array([0.6 * 0.1 / 0.4, 0.2 * 0.5 / 0.2, 0.2])
    assert np.allclose(moved[1:], weights / weights.sum())
    assert moved[0] == pytest.approx(moved[1] + moved[2])


@settings(max_examples=25)
@given(SEEDS)
def test_answers_stay_coherent_and_leaves_are_called_as_before(seed: int) -> None:
    rng = np.random.default_rng(seed)
    taxonomy = random_taxonomy(rng)
    truth = draw_truth(rng, taxonomy, 60)
    members = draw_members(rng, truth, taxonomy)
    fitted = fit(members, truth, taxonomy, EnsembleSettings(bootstrap=0, folds=0, thresholds="f1"))
    with pytest.raises(UserError, match=r"does not say how many samples it was fitted on"):
        fitted.with_prior(Prior("there", np.full(len(taxonomy.nodes), 0.5)))
    fitted.about["samples"] = 60
    present = taxonomy.close(rng.random((40, len(taxonomy.nodes))) < 0.2)
    moved = fitted.with_prior(Prior.from_counts("there", present.sum(axis=0), 40))
    before, after = fitted.predict(members), moved.predict(members)
    above = taxonomy.closure
    for node in range(len(taxonomy.nodes)):
        assert (after.probs[:, [node]] <= after.probs[:, above[node]]).all()
    fixed = np.array([rule in ("half", "never") for rule in fitted.thresholds.rules])
    leaves = [taxonomy.column[leaf] for leaf in taxonomy.leaves if not fixed[taxonomy.column[leaf]]]
    reached = before.probs[:, leaves] >= before.thresholds[leaves]
    near = np.isclose(before.probs[:, leaves], before.thresholds[leaves])  # rounding
    assert ((reached == (after.probs[:, leaves] >= after.thresholds[leaves])) | near).all()


def test_the_shares_that_it_was_fitted_on_change_nothing() -> None:
    rng = np.random.default_rng(1)
    taxonomy = random_taxonomy(rng)
    truth = draw_truth(rng, taxonomy, 60, unknown=0)
    members = draw_members(rng, truth, taxonomy)
    fitted = fit(members, truth, taxonomy, EnsembleSettings(bootstrap=0, folds=0))
    fitted.about["samples"] = 60
    same = fitted.with_prior(Prior.from_targets("the same", truth.targets))
    assert (same.predict(members).probs == fitted.predict(members).probs).all()
    assert (same.thresholds.values == fitted.thresholds.values).all()


def test_groups_without_a_share_follow_from_their_leaves() -> None:
    tree = Taxonomy.from_text("{taxonomy: t, levels: {leaf: leaves}, tree: {G: {A: {label: 1}, B: {label: 2}}}}")
    column = [tree.column[node] for node in ("G", "A", "B")]
    fitted, new = np.zeros(3), np.zeros(3)
    fitted[column], new[column] = (0.4, 0.2, 0.3), (np.nan, 0.2, 0.3)
    assert np.allclose(Prior("x", new).fill_groups(Prior("y", fitted), tree).shares[column], (0.4, 0.2, 0.3))
    new[column] = (np.nan, 0.02, 0.03)
    rarer = Prior("x", new).fill_groups(Prior("y", fitted), tree).shares[column]
    assert 0.03 <= rarer[0] < 0.06
    assert (rarer[1:] == (0.02, 0.03)).all()


def test_a_prior_says_whose_shares_change_most_and_leaves_groups_and_the_least_out() -> None:
    tree = Taxonomy.from_text(
        "{taxonomy: t, levels: {leaf: leaves}, tree: {G: {A: {label: 1}, B: {label: 2}}, C: {label: 3}, D: {label: 4}}}"
    )
    shares = {"G": (0.9, 0.1), "A": (0.2, 0.2), "B": (0.1, 0.05), "C": (0.1, 0.4), "D": (0.5, 0.01)}
    fitted, new = (np.array([shares[node][k] for node in tree.nodes]) for k in (0, 1))
    shift = PriorShift(tree, Prior("here", fitted), Prior("the new plate", new))
    assert shift.describe() == (
        "classes are taken to be as frequent as among the new plate; the largest changes: D 1 % (where it was fitted "
        "50 %), C 40 % (where it was fitted 10 %), B 5 % (where it was fitted 10 %)"
    )
