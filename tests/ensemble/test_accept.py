"""Acceptance: one figure decides, over whole antibodies, and the rest is shown."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit
from sklearn.metrics import average_precision_score
from sklearn.metrics import log_loss as reference_log_loss

from hpa_hier.ensemble.accept import compare, compare_losses, describe_acceptance, fit_accepted, fold_average_precision
from hpa_hier.ensemble.calibrate.calibration import Calibration
from hpa_hier.ensemble.fit import OutOfFold, cross_fit
from hpa_hier.ensemble.scores.fit_data import FitData, fit_data
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.ensemble.verdict import Verdict
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

TREE = Taxonomy.from_text(
    "taxonomy: t\nlevels: {coarse: 1, leaf: leaves}\ntree:\n  G:\n    a: {label: 0}\n    b: {label: 1}\n"
    "  H:\n    c: {label: 2}\n    d: {label: 3}\n"
)
LEAF = np.array([TREE.column[leaf] for leaf in TREE.leaves])
QUICK = EnsembleSettings(bootstrap=0, folds=3)


def out_of_fold(
    probs: np.ndarray, present: np.ndarray, known: np.ndarray | None = None, units: tuple[str, ...] = ()
) -> OutOfFold:
    """What a system says of samples that belong to folds in turn."""
    many = len(probs)
    truth = Truth(tuple(f"s{i:03d}" for i in range(many)), present, np.ones_like(present) if known is None else known)
    return OutOfFold(truth, units or ("",) * many, np.arange(many) % 3, probs, probs > 0.5)


def drawn(samples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw probabilities that are exactly calibrated, and what they are probabilities of."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1, 2, (samples, len(TREE.nodes)))
    return expit(logits), rng.random(logits.shape) < expit(logits)


def drawn_members(samples: int, signals: tuple[float, ...], seed: int = 0) -> FitData:
    """Leaf members whose logits are the truth times a signal, and noise."""
    rng = np.random.default_rng(seed)
    present = np.zeros((samples, len(TREE.nodes)), bool)
    present[:, LEAF] = rng.random((samples, 4)) < [0.5, 0.3, 0.2, 0.1]
    truth = Truth(tuple(f"s{i:03d}" for i in range(samples)), TREE.close(present), np.ones_like(present))
    scores = [
        Scores(f"m{e}", truth.ids, TREE.leaves, (present[:, LEAF] - 0.5) * signal + rng.normal(size=(samples, 4)))
        for e, signal in enumerate(signals)
    ]
    return fit_data(scores, truth)


def test_the_figure_that_decides_is_the_log_loss_of_known_leaves() -> None:
    (ours, present), (theirs, _) = drawn(90), drawn(90, seed=1)
    known = np.random.default_rng(2).random(present.shape) < 0.8
    found = compare_losses(out_of_fold(ours, present, known), out_of_fold(theirs, present, known), LEAF, 0.8)
    assert found is not None
    told = known[:, LEAF]
    for probs, loss in ((ours, found.ensemble), (theirs, found.baseline)):
        assert loss == pytest.approx(reference_log_loss(present[:, LEAF][told], probs[:, LEAF][told]))
    assert found.difference == pytest.approx(found.ensemble - found.baseline)


def test_bounds_are_those_of_the_paired_t_test_where_every_sample_is_alone() -> None:
    (ours, present), (theirs, _) = drawn(90), drawn(90, seed=1)
    found = compare_losses(out_of_fold(ours, present), out_of_fold(theirs, present), LEAF, 0.8)
    assert found is not None
    losses = [-np.log(np.where(present, p, 1 - p))[:, LEAF].mean(axis=1) for p in (ours, theirs)]
    interval = stats.ttest_rel(*losses).confidence_interval(0.6)  # two sides of 20 %
    assert (found.lower, found.upper) == pytest.approx((interval.low, interval.high))


def test_two_antibodies_are_compared_and_one_is_not() -> None:
    ours, present = drawn(12)
    theirs = ours / 2
    for units, compared in ((("a", "b") * 6, True), (("a",) * 12, False)):
        pair = (out_of_fold(probs, present, None, units) for probs in (ours, theirs))
        assert (compare_losses(*pair, LEAF, 0.8) is not None) == compared


def test_copies_of_an_image_make_nothing_surer() -> None:
    (ours, present), (theirs, _) = drawn(60), drawn(60, seed=1)
    many = [values.repeat(5, axis=0) for values in (ours, theirs, present)]
    units = tuple(f"antibody {i // 5}" for i in range(300))
    alone = compare_losses(out_of_fold(ours, present), out_of_fold(theirs, present), LEAF, 0.8)
    whole, loose = (
        compare_losses(out_of_fold(many[0], many[2], None, u), out_of_fold(many[1], many[2], None, u), LEAF, 0.8)
        for u in (units, ())
    )
    assert alone is not None
    assert whole is not None
    assert loose is not None
    assert (whole.lower, whole.upper) == pytest.approx((alone.lower, alone.upper))
    assert loose.upper - loose.lower < 0.5 * (whole.upper - whole.lower)


def test_one_sure_and_wrong_answer_costs_no_more_than_the_log_loss_of_the_report() -> None:
    probs, present = np.full((60, len(TREE.nodes)), 0.4), np.zeros((60, len(TREE.nodes)), bool)
    sure = probs.copy()
    sure[0] = 1.0
    found = compare_losses(out_of_fold(sure, present), out_of_fold(probs, present), LEAF, 0.8)
    assert found is not None
    assert found.difference == pytest.approx((-np.log(1e-5) + np.log(0.6)) / 60)


@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_average_precision_within_folds_does_not_see_offsets_between_folds(offset: float) -> None:
    probs, present = drawn(90)
    fold = np.arange(90) % 3
    moved = expit(np.log(probs / (1 - probs)) + offset * fold[:, None])
    found = fold_average_precision(moved[:, LEAF], present[:, LEAF], present[:, LEAF] | True, fold, np.ones((1, 90)))
    for j, column in enumerate(LEAF):
        rows = [fold == k for k in range(3)]
        each = [average_precision_score(present[r, column], probs[r, column]) for r in rows]
        assert found[0, j] == pytest.approx(np.average(each, weights=[present[r, column].sum() for r in rows]))


def test_a_better_ranking_alone_does_not_accept() -> None:
    probs, present = drawn(300)
    loud = expit(6 * np.log(probs / (1 - probs)))  # the same order, too sure of it
    blurred = expit(np.log(probs / (1 - probs)) + np.random.default_rng(1).normal(0, 1, probs.shape))
    verdict = compare(out_of_fold(loud, present), out_of_fold(blurred, present), TREE, 0.8, "mean")
    assert verdict.comparison is not None
    assert verdict.comparison.difference.mean_ap.low is not None
    assert verdict.comparison.difference.mean_ap.low > 0
    assert verdict.accepted is False


@pytest.mark.parametrize("confidence", [0.01, 0.8, 0.99])
def test_what_is_the_same_is_not_accepted_at_any_confidence(confidence: float) -> None:
    probs, present = drawn(50)
    verdict = compare(*[out_of_fold(probs, present)] * 2, TREE, confidence, "flat")
    assert verdict.accepted is False


@pytest.mark.parametrize("positives", [0, 1])
def test_a_comparison_with_few_or_no_positives_can_be_written_and_read(positives: int) -> None:
    present = np.zeros((40, len(TREE.nodes)), bool)
    present[:positives] = True
    probs = np.random.default_rng(0).random(present.shape)
    verdict = compare(*[out_of_fold(probs, present)] * 2, TREE, 0.8, "mean")
    kept = verdict.to_json()
    assert Verdict.from_json(json.loads(json.dumps(kept, allow_nan=False))) == verdict
    assert (kept["ensemble"]["mean_ap"]["value"] is None) == (positives == 0)
    assert verdict.describe().startswith("The plain mean of the members answers: the fitted ensemble was not shown")


def test_nothing_known_of_any_leaf_decides_for_the_baseline() -> None:
    probs, present = drawn(40)
    verdict = compare(*[out_of_fold(probs, present, np.zeros_like(present))] * 2, TREE, 0.8, "mean")
    assert verdict.accepted is False
    assert verdict.comparison is None
    assert "no leaf is known" in verdict.describe()


def test_the_interval_of_a_figure_told_by_fit_holds_the_figure() -> None:
    taxonomy = Taxonomy.from_text(
        "taxonomy: t\nlevels: {leaf: leaves}\ntree:\n  Top:\n"
        + "".join(f"    l{i}: {{label: {i}}}\n" for i in range(60))
    )
    rng = np.random.default_rng(1)
    leaves = [taxonomy.column[leaf] for leaf in taxonomy.leaves]
    present = np.zeros((300, len(taxonomy.nodes)), bool)
    present[:, leaves] = rng.random((300, 60)) < 4 / 300
    present = taxonomy.close(present)
    probs = expit(np.where(present, 1.0, -1.0) + rng.normal(0, 1.5, present.shape))
    verdict = compare(*[out_of_fold(probs, present)] * 2, taxonomy, 0.8, "mean")
    assert verdict.comparison is not None
    found = verdict.comparison.ensemble.mean_ap
    assert found.low is not None
    assert found.value is not None
    assert found.high is not None
    assert found.low < found.value < found.high


@pytest.mark.parametrize("aggregate", ["logistic_stack", "mean"])
def test_the_flat_baseline_is_fitted_with_the_same_settings(aggregate: str) -> None:
    data, flat = drawn_members(150, (3.0, 3.0)), drawn_members(150, (2.0, 1.0))
    settings = QUICK.model_copy(update={"aggregate": aggregate, "calibrate": "platt", "thresholds": "f1"})
    accepted = fit_accepted(data, flat, TREE, settings)
    alone = cross_fit(flat, TREE, settings)[0]
    assert accepted.flat is not None
    assert accepted.flat.aggregate == aggregate
    assert accepted.flat.predict(flat.members).probs.tobytes() == alone.predict(flat.members).probs.tobytes()
    assert accepted.flat.thresholds.values.tobytes() == alone.thresholds.values.tobytes()
    assert accepted.verdict.accepted
    assert accepted.ensemble is not accepted.flat


def test_a_member_of_both_ensembles_is_calibrated_once_on_the_same_samples() -> None:
    data, calibrated = drawn_members(150, (2.0, 1.0)), dict[bytes, Calibration]()
    first = cross_fit(data, TREE, QUICK, calibrated)[0]
    fits = len(calibrated)
    again = cross_fit(data, TREE, QUICK.model_copy(update={"aggregate": "mean"}), calibrated)[0]
    assert fits == len(calibrated) > len(data.members)  # of all samples, and of all folds but one
    assert all(again.combiner.calibrations[name] is one for name, one in first.combiner.calibrations.items())
    other = cross_fit(drawn_members(150, (2.0, 1.1)), TREE, QUICK, calibrated)[0]
    changed = [
        name for name, one in first.combiner.calibrations.items() if other.combiner.calibrations[name] is not one
    ]
    assert changed == [data.members[-1].name]
    assert len(calibrated) == fits + fits // len(data.members)


def test_where_the_ensemble_is_worse_the_flat_members_answer() -> None:
    accepted = fit_accepted(drawn_members(150, (1.0, 1.0)), drawn_members(150, (3.0, 3.0)), TREE, QUICK)
    assert accepted.uses_baseline
    assert accepted.ensemble is accepted.flat
    assert accepted.verdict.describe().startswith(
        "The flat ensemble answers: the hierarchical ensemble was not shown to have a lower log loss (difference +0."
    )


def test_without_flat_members_the_plain_mean_of_the_same_members_is_the_baseline() -> None:
    accepted = fit_accepted(
        drawn_members(200, (2.0, 2.0)), None, TREE, QUICK.model_copy(update={"aggregate": "concat"})
    )
    assert accepted.flat is None
    assert accepted.uses_baseline
    assert accepted.ensemble.aggregate == "mean"
    itself = fit_accepted(drawn_members(60, (2.0, 2.0)), None, TREE, QUICK.model_copy(update={"aggregate": "mean"}))
    assert describe_acceptance(itself.ensemble) == "Nothing was compared: no verdict was kept."
    assert itself.verdict.describe() == "Nothing was compared: the aggregate is the mean of the members itself."


def test_intervals_of_named_antibodies_do_not_depend_on_the_order_of_samples() -> None:
    (ours, present), (theirs, _) = drawn(90), drawn(90, seed=1)
    units = tuple(f"antibody {i // 3 * 7 % 30}" for i in range(90))
    pair = [out_of_fold(probs, present, None, units) for probs in (ours, theirs)]
    turned = [
        OutOfFold(
            replace(one.truth, ids=one.truth.ids[::-1], present=present[::-1]),
            units[::-1],
            one.fold[::-1],
            one.probs[::-1],
            one.present[::-1],
        )
        for one in pair
    ]
    assert compare(*pair, TREE, 0.8, "flat") == compare(*turned, TREE, 0.8, "flat")


def test_too_few_samples_for_folds_are_used_unchecked_and_say_so() -> None:
    accepted = fit_accepted(drawn_members(12, (2.0, 2.0)), drawn_members(12, (2.0, 2.0)), TREE, QUICK)
    assert not accepted.uses_baseline
    assert accepted.verdict.accepted is None
    assert accepted.verdict.describe().endswith("too few; the ensemble is used unchecked.")


def test_differences_that_are_shown_may_be_negative_and_metrics_may_not() -> None:
    (ours, present), (theirs, _) = drawn(120), drawn(120, seed=1)
    worse = compare(out_of_fold(theirs, present), out_of_fold(ours, present), TREE, 0.8, "flat").comparison
    assert worse is not None
    for name in ("mean_ap", "macro_f1"):
        difference, one = getattr(worse.difference, name), getattr(worse.ensemble, name)
        assert -1 <= difference.low < difference.value < difference.high < 0
        assert 0 <= one.low < one.value < one.high <= 1
        assert difference.value == pytest.approx(one.value - getattr(worse.baseline, name), abs=2e-6)
