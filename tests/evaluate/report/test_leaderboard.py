"""The leaderboard: what each system and member costs, and what members count."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ensemble_run import SmallRun

from hpa_hier.evaluate.compute import compute_results
from hpa_hier.evaluate.report.leaderboard import compare_systems, list_weights, total_cost
from hpa_hier.predict.fit_run import evaluate_run, fit_run


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    small = SmallRun(tmp_path_factory.mktemp("weights"))
    fit_run(small.run)
    evaluate_run(small.run)
    return small


@pytest.fixture(scope="module")
def results(small):
    return compute_results(small.run.evaluation)


def test_costs_add_up_and_an_unknown_cost_stays_unknown():
    assert total_cost({"a": {"seconds": 2.0}, "b": {"seconds": 3}}).seconds == 5
    assert total_cost({"a": {"seconds": 2.0}, "b": {}}).seconds is None
    assert total_cost({}).networks == 0


def test_the_cost_of_a_side_is_that_of_its_networks(results, small):
    board = compare_systems(results, small.taxonomy)
    assert board.cost.networks == len(results.scope.members)
    assert board.cost.parameters == 1000 * board.cost.networks
    assert board.costs["leaf-s1"].images_seen == 900
    assert board.weights is None


def test_weights_by_node_are_the_aggregates_own_and_a_node_nobody_answers_for_has_no_row(results, small):
    ensemble = small.run.ensemble
    weights = list_weights(ensemble, small.taxonomy, results)
    of = {row.name: row.weights for row in weights.rows}
    column = ensemble.taxonomy.column
    for row, member in enumerate(weights.members):
        for node, values in of.items():
            if values[row] is not None:
                assert values[row].value == ensemble.combiner.aggregate.weights[row, column[node]]
            else:
                assert node not in small.members[member].nodes
    assert list(of) == [n for n in small.taxonomy.nodes if any(n in small.members[m].nodes for m in weights.members)]


def test_shares_by_level_add_up_to_one(results, small):
    weights = list_weights(small.run.ensemble, small.taxonomy, results)
    for row in weights.levels:
        assert sum(one.value for one in row.weights if one) == pytest.approx(1)


def test_an_aggregate_without_weights_by_node_says_so(results, small, monkeypatch):
    ensemble = small.run.ensemble
    rule = type("Rule", (), {"weights": None, "summary": "a network of the members' answers", "name": "rule"})()
    combiner = replace(ensemble.combiner, aggregate=rule)
    weights = list_weights(replace(ensemble, combiner=combiner), small.taxonomy, results)
    assert weights.rows == ()
    assert weights.words == "The aggregate rule gives members no weight by node: a network of the members' answers."


def test_the_darkest_cell_is_that_of_the_largest_weight(results, small):
    rows = list_weights(small.run.ensemble, small.taxonomy, results).rows
    cells = [one for row in rows for one in row.weights if one]
    largest = max(cells, key=lambda one: abs(one.value))
    assert largest.step == max(one.step for one in cells) == 10
