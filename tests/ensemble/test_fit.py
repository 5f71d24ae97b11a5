"""Where ensembles are seldom looked at: partial answers, ties, one antibody, loud scores, a crash between two files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble import ensemble_file as keep
from hpa_hier.ensemble.calibrate.platt import Platt
from hpa_hier.ensemble.calibrate.temperature import Temperature
from hpa_hier.ensemble.combine.aggregate import MemberLogits
from hpa_hier.ensemble.combine.blend import blend, blend_weights
from hpa_hier.ensemble.combine.factor import apply_factors
from hpa_hier.ensemble.decide.rule import ThresholdOptions
from hpa_hier.ensemble.decide.threshold_rules import THRESHOLDS
from hpa_hier.ensemble.decide.thresholds import fit_thresholds
from hpa_hier.ensemble.fit import cross_fit, fit
from hpa_hier.ensemble.scores.fit_data import fit_data
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.errors import UserError
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

TREE = Taxonomy.from_text(
    "taxonomy: t\nlevels: {coarse: 1, leaf: leaves}\ntree:\n  G:\n    a: {label: 0}\n    b: {label: 1}\n"
    "  H:\n    c: {label: 2}\n    d: {label: 3}\n"
)
LEAF = [TREE.column[leaf] for leaf in TREE.leaves]


def drawn(samples: int, seed: int = 0) -> tuple[Truth, Scores]:
    """Draw a truth of the tree, and a leaf member that is exactly calibrated."""
    rng = np.random.default_rng(seed)
    ids = tuple(f"s{i:04d}" for i in range(samples))
    logits = rng.normal(-2, 2, (samples, 4))
    present = np.zeros((samples, len(TREE.nodes)), bool)
    present[:, LEAF] = rng.random(logits.shape) < expit(logits)
    present = TREE.close(present)
    return Truth(ids, present, np.ones_like(present)), Scores("leaf", ids, TREE.leaves, logits)


def log_loss(logits: np.ndarray, present: np.ndarray) -> float:
    return float((np.logaddexp(0, logits) - present * logits).sum())


def test_a_blend_weighs_by_what_a_member_says_and_not_by_how_much_it_covers() -> None:
    rng = np.random.default_rng(0)
    good = rng.normal(-1.5, 1.5, (2000, 10))
    present = rng.random(good.shape) < expit(good)
    noise = rng.normal(-1.5, 1.5, good.shape)
    covers = np.ones((2, 10), bool)
    covers[1, :9] = False  # the good member answers for one node alone
    both, available = np.stack([noise, good]), np.ones((2, 2000), bool)
    weights = blend_weights(MemberLogits(both, covers, available), Targets(present, present | True))
    last = MemberLogits(both[:, :, 9:], covers[:, 9:], available)
    alone = blend_weights(last, Targets(present[:, 9:], present[:, 9:] | True))
    np.testing.assert_allclose(weights[:, 9], alone[:, 0], atol=0.01)
    assert weights[1, 9] > 0.95
    assert (blend([noise, good], weights)[:, 0] == expit(noise[:, 0])).all()


def test_samples_of_which_a_member_says_nothing_teach_nothing_about_its_nodes() -> None:
    truth, leaf = drawn(600)
    groups = np.stack([1 - (1 - expit(leaf.logits[:, pair])).prod(axis=1) for pair in ([0, 1], [2, 3])], axis=1)
    available = np.ones((2, 600), bool)
    available[0, 100:] = False
    coarse = Scores("coarse", truth.ids, TREE.groups, np.log(groups / (1 - groups)) * available[0][:, None])
    settings = EnsembleSettings(aggregate="logistic_stack", folds=0, bootstrap=0, calibrate="none")
    ensemble = cross_fit(fit_data([coarse, leaf], truth, available), TREE, settings)[0]
    untold = truth.known.copy()
    untold[100:, [TREE.column[group] for group in TREE.groups]] = False
    masked = cross_fit(fit_data([coarse, leaf], Truth(truth.ids, truth.present, untold), available), TREE, settings)[0]
    one, other = ensemble.combiner.aggregate, masked.combiner.aggregate
    np.testing.assert_allclose(one.offset, other.offset, atol=1e-9)  # type: ignore[attr-defined]
    np.testing.assert_allclose(one.weights[0], other.weights[0], atol=1e-9)  # type: ignore[index]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_a_calibration_finds_its_slope_whatever_the_scores_are_counted_in(scale: float) -> None:
    truth, leaf = drawn(800)
    targets = Targets(truth.present[:, LEAF], np.ones((800, 4), bool))
    for method in (Temperature, Platt):
        found = method.fit(TREE.leaves, leaf.logits * scale, targets, 50.0)
        plain = method.fit(TREE.leaves, leaf.logits, targets, 50.0)
        np.testing.assert_allclose(found.slope * scale, plain.slope, rtol=0.01)


def test_a_bagged_threshold_sees_the_best_cut_behind_equal_probabilities() -> None:
    counts = [(0.9, 1600, 0), (0.5, 400, 100), (0.1, 100, 6000)]  # probability, with the node, without it
    probs = np.concatenate([np.full(hits + others, prob) for prob, hits, others in counts])[:, None]
    present = np.concatenate([np.arange(hits + others) < hits for _, hits, others in counts])[:, None]
    for rule in ("f1", "bagged"):  # F1 is 0.87 behind the first step and 0.95 behind the second
        options, targets = ThresholdOptions(resamples=0), Targets(present, present | True)
        assert 0.1 < fit_thresholds(THRESHOLDS[rule], ("a",), probs, targets, options).values[0] <= 0.5, rule


def test_an_interval_of_a_threshold_draws_units_whole() -> None:
    rng = np.random.default_rng(0)
    probs = rng.random((40, 1))
    present = rng.random((40, 1)) < probs
    for rule, small_class in (("f1", 2), ("bagged", 2), ("f1", 1000), ("plugin", 2)):
        options = ThresholdOptions(small_class=small_class)
        many = probs.repeat(10, axis=0)
        targets = Targets(present.repeat(10, axis=0), np.ones_like(many, bool))
        alone = fit_thresholds(THRESHOLDS[rule], ("a",), many, targets, options)
        whole = fit_thresholds(THRESHOLDS[rule], ("a",), many, targets, options, np.arange(40).repeat(10))
        assert whole.values == alone.values
        apart, together = (float((found.high - found.low)[0]) for found in (alone, whole))
        assert together > 1.2 * apart, rule


def test_what_is_safe_is_present() -> None:
    truth, leaf = drawn(300)
    settings = EnsembleSettings(aggregate="mean", thresholds="fixed", fixed_threshold=0.8, safe_precision=0.8, folds=0)
    found = fit([leaf], truth, TREE, settings).predict([leaf])
    rows = np.flatnonzero(found.safe.column >= 0)
    assert found.present[rows, found.safe.column[rows]].all()
    assert len(rows) > 5


def test_what_is_known_of_a_fold_makes_no_difference_to_what_is_called_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, leaf = drawn(60)
    fold = np.arange(60) % 3
    monkeypatch.setattr("hpa_hier.ensemble.fit.assign_folds", lambda *_: fold)  # which are made of what is known
    plain = {"calibrate": "none", "aggregate": "mean", "refine": False, "reconcile": "lift"}  # nothing but thresholds
    settings = EnsembleSettings(**plain, folds=3, bootstrap=0, thresholds="f1", small_class_positives=1)
    others = truth.present.copy()
    others[fold == 0] = TREE.close(np.isin(np.arange(len(TREE.nodes)), LEAF[:1])[None])  # the first leaf alone
    one, other = (
        cross_fit(fit_data([leaf], Truth(truth.ids, present, truth.known)), TREE, settings)[1]
        for present in (truth.present, others)
    )
    assert one is not None
    assert other is not None
    assert (one.present[fold == 0] == other.present[fold == 0]).all()
    assert (one.present[fold != 0] != other.present[fold != 0]).any()


def test_all_samples_of_one_antibody_are_fitted_without_folds() -> None:
    truth, leaf = drawn(60)
    ensemble, held_out = cross_fit(
        fit_data([leaf], truth, units=["one"] * 60), TREE, EnsembleSettings(aggregate="mean", bootstrap=0)
    )
    assert held_out is None
    assert np.isfinite(ensemble.thresholds.values).all()


@pytest.mark.parametrize("number", [3, 8, 12, 20])
def test_a_factor_is_the_same_to_the_last_bit_in_any_batch(number: int) -> None:
    logits = np.random.default_rng(0).normal(0, 3, (number + 1, 64, 2))
    covers, given = np.ones((number + 1, 2), bool), [None] * number + [0]
    whole = apply_factors(list(logits), covers, given)[-1]
    alone = np.concatenate([apply_factors(list(logits[:, k : k + 1]), covers, given)[-1] for k in range(64)])
    assert whole.tobytes() == alone.tobytes()


def test_an_ensemble_beside_another_taxonomy_than_its_own_is_refused(tmp_path: Path) -> None:
    truth, leaf = drawn(60)
    keep.save(fit([leaf], truth, TREE, EnsembleSettings(aggregate="mean", folds=0, bootstrap=0)), tmp_path)
    moved = TREE.text.replace("    b: {label: 1}\n  H:\n", "  H:\n    b: {label: 1}\n")
    (tmp_path / "taxonomy.yaml").write_text(moved)
    with pytest.raises(UserError, match=r"ensemble\.json: was fitted under another .*taxonomy\.yaml .*; fit it again"):
        keep.load(tmp_path)
