"""Results of a run: that they agree with the metrics, carry their intervals, and say what they were measured on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluated_run import make_run
from sklearn.metrics import average_precision_score, f1_score, log_loss

from hpa_hier.evaluate.compute import compute_results
from hpa_hier.evaluate.results import Estimate
from hpa_hier.metrics.scores import NEAREST_TO_SURE
from hpa_hier.runs.run import Run
from hpa_hier.settings.recipe import ReportSettings

FEW = ReportSettings(gallery=3)


def value(row, system):
    """Return one system's value of a row."""
    return (row.ensemble if system == "ensemble" else row.others[system].estimate).value


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("results"), count=240, size=16)


@pytest.fixture(scope="module")
def results(run):
    return compute_results(Run.open(run).evaluation, FEW)


def test_the_headline_is_what_scikit_learn_finds_on_the_leaves(run, results):
    evaluation = Run.open(run).evaluation
    leaves = evaluation.leaf_columns
    targets = evaluation.targets[:, leaves]
    some = targets.any(axis=0)
    for system, answers in (("ensemble", evaluation.ensemble), ("baseline", evaluation.baseline)):
        present, probs = answers.present[:, leaves], answers.probs[:, leaves]
        expected = f1_score(targets[:, some], present[:, some], average="macro", zero_division=0)
        assert value(results.row("macro_f1"), system) == pytest.approx(expected)
        expected = average_precision_score(targets[:, some], probs[:, some], average="macro")
        assert value(results.row("mean_ap"), system) == pytest.approx(expected)
        clipped = probs.clip(NEAREST_TO_SURE, 1 - NEAREST_TO_SURE)
        expected = np.mean(
            [log_loss(*column, labels=[False, True]) for column in zip(targets.T, clipped.T, strict=True)]
        )
        assert value(results.row("log_loss"), system) == pytest.approx(expected)


def test_every_headline_metric_lies_in_its_interval_and_has_its_baseline_and_difference(results):
    for row in results.headline:
        assert list(row.others) == ["baseline", "trivial"]
        for one in (row.ensemble, *(other.estimate for other in row.others.values())):
            assert 0 <= one.low <= one.value <= one.high <= 1
            assert one.low < one.high
        for other in row.others.values():
            assert other.difference.value == pytest.approx(row.ensemble.value - other.estimate.value)
            if other.verdict in ("better", "worse"):
                assert not other.difference.low <= 0 <= other.difference.high


def test_a_system_compared_with_itself_differs_by_exactly_nothing(run):
    evaluation = Run.open(run).evaluation
    for row in compute_results(replace(evaluation, baseline=evaluation.ensemble), FEW).headline:
        assert row.others["baseline"].difference == Estimate(0.0)
        assert row.others["baseline"].verdict == "same answers"


def test_lifting_and_closing_leave_no_violation(results):
    found = results.coherence["ensemble"]
    assert found.edges_before.value > 0
    assert found.samples_before.value > 0
    assert found.edges_after == found.samples_after == Estimate(0.0)  # by construction: no interval


def test_classes_without_positives_are_named_and_have_no_metric(results):
    assert results.scope.left_out
    rows = {row.node: row for row in results.nodes}
    for leaf in results.scope.left_out:
        assert rows[leaf].positives == 0
        assert rows[leaf].f1.value is None
        assert rows[leaf].ap.value is None


def test_a_rare_class_that_was_found_every_time_is_still_uncertain(results):
    found = [row for row in results.nodes if row.leaf and 0 < row.positives < 10 and row.fn == 0]
    assert found
    for row in found:
        assert row.recall.value == row.recall.high == 1
        assert row.recall.low < 0.8


def test_counts_of_a_node_add_up_to_the_samples(results):
    for row in results.nodes:
        assert row.tp + row.fp + row.fn + row.tn == results.scope.samples
        assert row.tp + row.fn == row.positives


def test_results_are_the_same_again_and_a_higher_level_makes_intervals_wider(run, results):
    assert compute_results(Run.open(run).evaluation, FEW) == results
    wider = compute_results(Run.open(run).evaluation, FEW.model_copy(update={"interval": 0.99}))
    for row, other in zip(results.headline, wider.headline, strict=True):
        assert other.ensemble.value == row.ensemble.value
        assert other.ensemble.low < row.ensemble.low
        assert other.ensemble.high > row.ensemble.high


def test_one_image_gets_wide_intervals_and_no_verdict(run):
    evaluation = Run.open(run).evaluation
    one = replace(
        evaluation,
        ids=evaluation.ids[:1],
        groups=evaluation.groups[:1],
        targets=evaluation.targets[:1],
        known=evaluation.known[:1],
        safe=(),
        **{name: _first(answers) for name, answers in evaluation.systems.items()},
    )
    results = compute_results(one, FEW)
    for row in (*results.headline, *(row for level in results.levels for row in (level.f1, level.ap, level.top))):
        assert row.ensemble.high - row.ensemble.low > (0.01 if row.key in ("brier", "log_loss") else 0.2), row.key
        assert {other.verdict for other in row.others.values()} == {"too few to tell"}
    for node in results.nodes:
        for estimate in (node.precision, node.recall, node.f1, node.ap):
            assert estimate.value is None or estimate.high - estimate.low > 0.4


def _first(answers):
    return replace(answers, raw=answers.raw[:1], probs=answers.probs[:1], present=answers.present[:1])


def test_a_run_without_a_flat_baseline_has_results_and_no_difference(tmp_path):
    results = compute_results(Run.open(make_run(tmp_path, count=120, size=16, flat=False)).evaluation, FEW)
    assert "baseline" not in results.row("macro_f1").others
    assert results.nodes[0].baseline is None


def test_units_are_counted_as_they_are_resampled(run, results, tmp_path):
    assert results.scope.units == len(set(Run.open(run).evaluation.groups)) < results.scope.samples
    for name in ("ensemble", "taxonomy.yaml"):
        (tmp_path / name).symlink_to(run / name)
    assert compute_results(Run.open(tmp_path).evaluation, FEW).scope.units == results.scope.samples


def test_an_ensemble_that_fell_back_to_the_flat_mean_says_so(run, results):
    assert not results.scope.uses_baseline
    evaluation = Run.open(run).evaluation
    fallen_back = {"members": evaluation.facts.baseline_members, "acceptance": {"accepted": False}}
    facts = evaluation.facts.model_copy(update=fallen_back)
    assert compute_results(replace(evaluation, facts=facts), FEW).scope.uses_baseline


def test_the_measured_levels_are_means_over_their_nodes(results):
    for level in results.levels:
        assert (level.f1.key, level.ap.key) == (f"f1 of {level.name}", f"ap of {level.name}")
    leaves = [row.f1.value for row in results.nodes if row.leaf and row.f1.value is not None]
    assert results.levels[-1].f1.ensemble.value == pytest.approx(np.mean(leaves))


def test_a_level_is_right_where_its_most_likely_node_is_annotated(run, results):
    evaluation = Run.open(run).evaluation
    taxonomy, answers = evaluation.taxonomy, evaluation.systems
    for level in results.levels:
        columns = [taxonomy.column[node] for node in level.nodes]
        targets = evaluation.targets[:, columns]
        for system in ("ensemble", "baseline", "trivial"):
            top = answers[system].probs[:, columns].argmax(axis=1)
            assert value(level.top, system) == pytest.approx(targets[np.arange(len(targets)), top].mean())


def test_a_likeliest_node_that_the_annotation_leaves_open_is_left_out(run):
    evaluation = Run.open(run).evaluation
    leaves = evaluation.leaf_columns
    rows, top = np.arange(len(evaluation.ids)), leaves[evaluation.ensemble.probs[:, leaves].argmax(axis=1)]
    right = evaluation.targets[rows, top]
    known = evaluation.known.copy()
    known[rows[~right], top[~right]] = False
    leaf = compute_results(replace(evaluation, known=known), FEW).levels[-1]
    assert leaf.top.ensemble.value == 1


def test_results_say_what_the_trivial_baseline_answers_and_do_without_one(run, results):
    evaluation = Run.open(run).evaluation
    always = [evaluation.taxonomy.column[leaf] for leaf in results.scope.always]
    assert evaluation.trivial.present[:, always].all()
    assert evaluation.trivial.present[0, evaluation.leaf_columns].sum() == len(always) > 0
    old = compute_results(replace(evaluation, trivial=None), FEW)
    assert old.scope.always == ()
    assert "trivial" not in old.row("macro_f1").others
    assert old.row("macro_f1").ensemble == results.row("macro_f1").ensemble
