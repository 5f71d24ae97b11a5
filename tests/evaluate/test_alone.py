"""Members alone: the same rules as the ensemble's, on their own nodes, beside the ensemble on the same ones."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from ensemble_cases import draw_member, draw_truth
from ensemble_run import SmallRun
from scipy.special import expit
from sklearn.metrics import average_precision_score, f1_score, log_loss

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.calibrate.platt import Platt
from hpa_hier.evaluate.alone import Held, add_members, answer_alone, measure_members
from hpa_hier.evaluate.compute import compute_results
from hpa_hier.evaluate.results import read_results, write_results
from hpa_hier.files.atomic import read_json
from hpa_hier.predict.fit_run import evaluate_run, fit_run
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    small = SmallRun(tmp_path_factory.mktemp("alone"))
    fit_run(small.run)
    evaluate_run(small.run)
    return small


@pytest.fixture(scope="module")
def rows(small):
    return {row.name: row for row in measure_members(small.run, 0.95)}


def by_hand(small, name):
    """What a member says of the test part after Platt's scaling on the calibration part, with the truth, and nodes."""
    scores, truth = small.members[name], small.run.truth(small.taxonomy)
    columns = [small.taxonomy.column[node] for node in scores.nodes]
    rows = [truth.ids.index(sample) for sample in scores.ids]
    present, part = truth.present[rows][:, columns], small.parts
    fit, test = part == "calibration", part == "test"
    targets = Targets(present[fit], np.ones_like(present[fit]))
    logits = scores.logits.astype(np.float32).astype(np.float64)
    probs = expit(Platt.fit(scores.nodes, logits[fit], targets, small.recipe.ensemble.shrink_positives).apply(logits))
    return probs[test], present[test], probs[fit], present[fit]


def best_cut(probs, present):
    """The threshold of largest F1, by trying every probability."""
    return max(probs, key=lambda cut: (f1_score(present, probs >= cut, zero_division=0), cut))


def test_every_member_of_both_ensembles_is_measured_on_its_own_nodes(rows, small):
    nodes = {"coarse": 2, "majority": 2, "minority": 3, "leaf": 5, "leaf-s1": 5}
    assert {name: row.nodes for name, row in rows.items()} == nodes


def test_ranking_and_log_loss_of_a_member_are_those_that_another_library_computes(rows, small):
    probs, present, *_ = by_hand(small, "leaf")
    metrics = rows["leaf"].metrics
    ap = np.mean([average_precision_score(present[:, j], probs[:, j]) for j in range(5)])
    assert metrics["mean_ap"].estimate.value == pytest.approx(ap)
    loss = np.mean([log_loss(present[:, j], probs[:, j], labels=[False, True]) for j in range(5)])
    assert metrics["log_loss"].estimate.value == pytest.approx(loss, rel=1e-3)


def test_thresholds_are_fitted_on_the_calibration_part_and_the_gain_is_the_ensembles_minus_the_members(rows, small):
    probs, present, fitted, truth = by_hand(small, "leaf-s1")
    cuts = [best_cut(fitted[:, j], truth[:, j]) for j in range(5)]
    expected = np.mean([f1_score(present[:, j], probs[:, j] >= cut) for j, cut in enumerate(cuts)])
    row = rows["leaf-s1"]
    one = row.metrics["macro_f1"]
    assert one.estimate.value == pytest.approx(expected, abs=0.08)  # the rule shrinks small classes
    assert one.difference.value == pytest.approx(row.ensemble["macro_f1"].value - one.estimate.value)
    assert row.ensemble["macro_f1"].value == pytest.approx(
        compute_results(small.run.evaluation).row("macro_f1").ensemble.value
    )


def test_held_out_samples_are_answered_by_what_was_fitted_on_the_other_folds():
    rng = np.random.default_rng(1)
    taxonomy = Taxonomy.from_text("taxonomy: t\nlevels: {leaf: leaves}\ntree: {A: {label: 0}, B: {label: 1}}")
    truth = draw_truth(rng, taxonomy, 60, unknown=0.0)
    scores = draw_member(rng, "m", taxonomy.leaves, truth, taxonomy)
    settings = EnsembleSettings(calibrate="platt", thresholds="fixed", folds=2, shrink_positives=0)
    held = Held(scores, truth.targets, ("",) * 60)
    answers = answer_alone(held, replace(scores, ids=tuple(f"t{i}" for i in range(60))), taxonomy, settings)
    out, within = answers.probs[:60], answers.probs[60:]
    assert not np.allclose(out, within)  # other parameters
    assert np.array_equal(answers.present, answers.probs >= 0.5)
    in_sample = answer_alone(held, scores.take(()), taxonomy, settings.model_copy(update={"folds": 0}))
    assert np.array_equal(in_sample.probs, within)


def test_an_exclusive_tree_calls_the_likeliest_leaf_alone():
    rng = np.random.default_rng(2)
    text = "taxonomy: t\nexclusive: true\nlevels: {leaf: leaves}\ntree: {A: {label: 0}, B: {label: 1}}"
    taxonomy = Taxonomy.from_text(text)
    truth = draw_truth(rng, taxonomy, 40, unknown=0.0)
    scores = draw_member(rng, "m", taxonomy.leaves, truth, taxonomy)
    answers = answer_alone(Held(scores, truth.targets, ("",) * 40), scores.take(()), taxonomy, EnsembleSettings())
    assert (answers.present.sum(axis=1) == 1).all()
    assert np.array_equal(answers.present.argmax(axis=1), answers.probs.argmax(axis=1))


def test_results_keep_the_members_or_why_there_are_none(small, tmp_path):
    results = add_members(compute_results(small.run.evaluation), small.run)
    assert read_results(write_results(tmp_path, results).parent) == results
    new = replace(results, scope=replace(results.scope, part="new"), alone=())
    assert add_members(new, small.run).alone_missing == "members alone are measured on a run's own test part only"


def test_results_of_before_there_were_members_alone_are_read(small, tmp_path):
    path = write_results(tmp_path, compute_results(small.run.evaluation))
    kept = read_json(path)
    path.write_text(json.dumps({name: value for name, value in kept.items() if not name.startswith("alone")}))
    assert read_results(tmp_path).alone == ()


def test_a_member_whose_scores_are_gone_costs_the_table_and_the_reason_is_kept(tmp_path):
    small = SmallRun(tmp_path)
    fit_run(small.run)
    evaluate_run(small.run)
    (small.folder / "members" / "leaf" / "scores.npz").unlink()
    results = add_members(compute_results(small.run.evaluation), small.run)
    assert results.alone == ()
    assert "scores.npz" in results.alone_missing
