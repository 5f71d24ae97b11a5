"""Reasons as values: what pages and JSON are told is what the answer rests on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from ensemble_cases import draw_members, draw_truth, random_taxonomy

from hpa_hier.ensemble.fit import fit
from hpa_hier.predict.explanation.explained import Explained
from hpa_hier.predict.explanation.reasons import Reasons, find_reasons
from hpa_hier.settings.recipe import EnsembleSettings


@pytest.fixture(scope="module")
def cases() -> list[tuple[Explained, Reasons]]:
    """Ten samples of an ensemble of four members on a random graph."""
    rng = np.random.default_rng(3)
    taxonomy = random_taxonomy(rng)
    truth = draw_truth(rng, taxonomy, 80)
    members = draw_members(rng, truth, taxonomy)
    settings = EnsembleSettings(aggregate="logistic_stack", refine=False, folds=0, bootstrap=20)
    ensemble = fit(members, truth, taxonomy, settings)
    ones = [
        Explained(ensemble, tuple(one.take([sample]) for one in members), "artifacts/mine", safe="unsure")
        for sample in truth.ids[:10]
    ]
    return [(one, find_reasons(one)) for one in ones]


def test_the_tree_holds_the_answer(cases: list[tuple[Explained, Reasons]]) -> None:
    for one, reasons in cases:
        taxonomy = one.ensemble.taxonomy
        assert tuple(row.node for row in reasons.tree) == taxonomy.nodes
        for row in reasons.tree:
            assert (row.prob, row.present) == (one.prob(row.node), one.is_present(row.node))
            assert row.parents == taxonomy.parents(row.node)
            assert row.threshold is None or row.present or row.prob < row.threshold
            assert row.level in taxonomy.levels
            assert row.node in taxonomy.level(str(row.level))
        assert reasons.labels == tuple(row.node for row in reasons.tree if row.present and row.leaf)
        assert [place.prob for place in reasons.places] == sorted(
            (row.prob for row in reasons.tree if row.leaf), reverse=True
        )[:3]
        assert reasons.path[-1] == reasons.places[0].node


def test_each_member_is_told_with_its_own_probability_and_its_weight(cases: list[tuple[Explained, Reasons]]) -> None:
    for one, reasons in cases:
        names, weights = [scores.name for scores in one.scored], one.ensemble.combiner.aggregate.weights
        for j, row in enumerate(reasons.tree):
            told = {says.member: (says.prob, says.weight) for says in row.members}
            known = np.isfinite(one.calibrated[:, j])
            assert set(told) == {name for name, there in zip(names, known, strict=True) if there}
            for i in np.flatnonzero(known):
                assert told[names[i]] == (one.calibrated[i, j], weights[i, j])
            assert row.answered == bool(told)


def test_the_summary_names_what_was_called_with_what_it_needed(cases: list[tuple[Explained, Reasons]]) -> None:
    kinds = set()
    for _, reasons in cases:
        first = reasons.summary.partition("; ")[0]
        leaf = next((row for row in reasons.tree if row.present and row.leaf), None)
        kinds.add("leaf" if leaf else "nothing")
        if leaf is None:
            assert f"nearest {reasons.places[0].node} {reasons.places[0].prob:.2f}" in reasons.summary
            assert reasons.summary.startswith("unsure: ")
            continue
        needs = "" if leaf.threshold is None else f", needs {leaf.threshold:.2f}"
        assert first.removesuffix(", doubtful") == f"{leaf.node} {leaf.prob:.2f}{needs}"
        assert first.endswith(", doubtful") == any(leaf.node in text for text in reasons.doubts)
    assert kinds == {"leaf", "nothing"}


def test_the_summary_of_groups_alone_names_the_lowest_and_the_place_nearest_in_them(
    cases: list[tuple[Explained, Reasons]],
) -> None:
    one, _ = cases[0]
    ensemble, taxonomy = one.ensemble, one.ensemble.taxonomy
    values = np.array([2.0 if taxonomy.is_leaf(node) else 0.0 for node in taxonomy.nodes])
    limits = replace(ensemble.thresholds, values=values)
    raised = replace(ensemble, decision=replace(ensemble.decision, thresholds=limits))
    leaf = taxonomy.leaves[-1]
    summary = find_reasons(replace(one, ensemble=raised, fallback=leaf)).summary
    groups = [node for node in taxonomy.nodes if any(map(taxonomy.is_leaf, taxonomy.children(node)))]
    lowest = [node for node in groups if all(map(taxonomy.is_leaf, taxonomy.children(node)))]
    parts = summary.split("; ")
    assert [part.rpartition(", needs")[0].rpartition(" ")[0] for part in parts[: len(lowest)]] == lowest
    assert parts[len(lowest)] == f"none of its places: nearest {leaf} {one.prob(leaf):.2f}, needs 2.00"


def test_json_holds_the_same_and_nothing_that_is_no_json(cases: list[tuple[Explained, Reasons]]) -> None:
    for _, reasons in cases:
        plain = reasons.to_json()
        assert json.loads(json.dumps(plain, allow_nan=False)) == plain
        assert set(plain) == set(vars(reasons))
        assert plain["tree"][0]["members"] == [vars(says) for says in reasons.tree[0].members]
        assert (plain["annotated"], plain["safe"], plain["fallback"]) == (None, "unsure", None)
