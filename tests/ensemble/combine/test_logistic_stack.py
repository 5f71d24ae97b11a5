"""Stacks, acceptance and out-of-fold thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from ensemble_cases import SEEDS, draw_members, draw_truth, random_taxonomy
from examples import examples
from hypothesis import given, settings
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble import ensemble_file as keep
from hpa_hier.ensemble.accept import fit_accepted
from hpa_hier.ensemble.calibrate.isotonic import fit_curves
from hpa_hier.ensemble.calibrate.temperature import Temperature
from hpa_hier.ensemble.combine.aggregate import MemberLogits
from hpa_hier.ensemble.combine.logistic_stack import LogisticStack, _find_precisions
from hpa_hier.ensemble.decide.rule import ThresholdOptions
from hpa_hier.ensemble.decide.threshold_rules import THRESHOLDS, plugin_thresholds
from hpa_hier.ensemble.decide.thresholds import fit_thresholds
from hpa_hier.ensemble.fit import assign_folds, cross_fit, fit
from hpa_hier.ensemble.logistic import LogisticProblem, NormalPrior
from hpa_hier.ensemble.scores.fit_data import fit_data
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.metrics.ranking import Ranked
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

often = examples(200)
now_and_then = settings(max_examples=20)
QUICK = EnsembleSettings(bootstrap=0)


def flat_case(seed: int, size: int, leaves: int = 4) -> tuple[np.random.Generator, Taxonomy, Truth, np.ndarray]:
    rng = np.random.default_rng(seed)
    lines = ["taxonomy: drawn", "levels: {leaf: leaves}", "tree:", "  Cell:"]
    taxonomy = Taxonomy.from_text("\n".join(lines + [f"    Leaf {i}: {{label: {i}}}" for i in range(leaves)]))
    present = rng.random((size, leaves)) < 0.45
    closed = np.concatenate([present.any(axis=1, keepdims=True), present], axis=1)
    ids = tuple(f"s{i:05d}" for i in range(size))
    return rng, taxonomy, Truth(ids, closed, np.ones_like(closed)), present


@often
@given(SEEDS)
def test_invariants_the_stack_is_finite_and_weighs_only_members_that_answer(seed):
    rng = np.random.default_rng(seed)
    covers = rng.random((3, 5)) < 0.7
    present = rng.random((60, 5)) < rng.uniform(0, 0.5, 5)
    values = np.where(covers[:, None, :], 2 * present - 1 + rng.normal(size=(3, 60, 5)), 0.0)
    logits = MemberLogits(values, covers, np.ones((3, 60), bool))
    targets = Targets(present, rng.random(present.shape) >= 0.1)
    tree = random_taxonomy(rng)  # which the stack does not look at
    stack = LogisticStack.fit(logits, targets, tree, QUICK)
    assert np.isfinite(stack.weights).all()
    assert np.isfinite(stack.offset).all()
    assert (stack.weights[~covers] == 0).all()


def test_precisions_stay_what_they_were_where_nothing_is_known():
    first, nodes = np.array([30.0, 1.0, 10.0, 10.0]), 5
    problem = LogisticProblem(np.ones((nodes, 7, 4)), np.zeros((nodes, 7)), np.zeros((nodes, 7)))
    near, used = NormalPrior(np.zeros((nodes, 4)), first), np.ones((nodes, 4), bool)
    assert _find_precisions(problem, near.means, near, first, used) == pytest.approx(first)
    away = near.means + np.array([0.1, 0.2, 0.0, 0.3])
    found = _find_precisions(problem, away, near, first, used)
    assert found == pytest.approx(2 / (np.array([0.05, 0.2, 0.45, 0.45]) + 2 / first))


@pytest.mark.parametrize("aggregate", ["logistic_stack"])
@now_and_then
@given(SEEDS)
def test_invariants_copies_of_flat_plus_noise_keep_flat(aggregate, seed):
    """Members that are one flat member and noise of their own change next to nothing beside their mean."""
    rng, taxonomy, truth, present = flat_case(seed, 400)
    flat = 3 * present - 1.5 + rng.normal(size=present.shape)
    members = [Scores(f"m{e}", truth.ids, taxonomy.leaves, flat + 0.1 * rng.normal(size=flat.shape)) for e in range(4)]
    prediction = fit(members, truth, taxonomy, QUICK.model_copy(update={"aggregate": aggregate, "folds": 0}))
    said = prediction.predict(members).raw[:, 1:]
    alone = fit([Scores("flat", truth.ids, taxonomy.leaves, flat)], truth, taxonomy, QUICK)
    expected = alone.predict([Scores("flat", truth.ids, taxonomy.leaves, flat)]).raw[:, 1:]
    assert np.abs(said - expected).mean() < 0.02


@pytest.mark.parametrize("aggregate", ["logistic_stack"])
@pytest.mark.parametrize("seed", range(3))
def test_invariants_one_planted_better_member_is_taken(aggregate, seed):
    """Three members that are wrong alike and loud about it, and a quiet one that knows; 200 positives a leaf."""
    rng, taxonomy, truth, present = flat_case(seed, 500)
    wrong = 4 * rng.normal(size=present.shape)
    weak = [2 * present - 1 + wrong + rng.normal(size=present.shape) for _ in range(3)]
    strong = 3 * present - 1.5 + rng.normal(size=present.shape)
    members = [Scores(f"m{e}", truth.ids, taxonomy.leaves, logits) for e, logits in enumerate([*weak, strong])]
    chosen = QUICK.model_copy(update={"aggregate": aggregate, "calibrate": "none"})
    accepted = fit_accepted(fit_data(members, truth), None, taxonomy, chosen)
    assert accepted.verdict.accepted
    weights = accepted.ensemble.combiner.aggregate.weights[:, 1:]
    assert (weights[3] > 2 * np.abs(weights[:3]).max(axis=0)).all()


def test_an_aggregate_that_is_not_better_falls_back_to_the_mean():
    """Members equally good and independent: the mean is the best there is, and concatenating loses."""
    rng, taxonomy, truth, present = flat_case(0, 300)
    members = [
        Scores(
            f"m{e}",
            truth.ids,
            taxonomy.leaves[: 4 - e % 2],
            (3 * present - 1.5 + 2 * rng.normal(size=present.shape))[:, : 4 - e % 2],
        )
        for e in range(4)
    ]
    accepted = fit_accepted(fit_data(members, truth), None, taxonomy, QUICK.model_copy(update={"aggregate": "concat"}))
    assert accepted.uses_baseline
    assert accepted.ensemble.aggregate == "mean"
    assert accepted.verdict.accepted is False
    assert accepted.verdict.comparison.log_loss.difference > 0


def test_what_is_reported_was_not_fitted_on():
    """Scores of pure chance look good in sample and like chance out of fold."""
    rng, taxonomy, truth, _ = flat_case(1, 200)
    members = [Scores(f"m{e}", truth.ids, taxonomy.leaves, rng.normal(size=(200, 4))) for e in range(9)]
    ensemble, held_out = cross_fit(fit_data(members, truth), taxonomy, QUICK)
    assert held_out is not None
    inside = ensemble.predict(members).probs[:, 1:]
    right = truth.present[:, 1:]

    def apart(probs):
        return probs[right].mean() - probs[~right].mean()

    assert apart(inside) > apart(held_out.probs[:, 1:]) + 0.005
    assert apart(held_out.probs[:, 1:]) < 0.02


@often
@given(SEEDS)
def test_invariants_folds_keep_units_together_and_deal_rare_labels_out(seed):
    rng = np.random.default_rng(seed)
    present = rng.random((60, 5)) < [0.5, 0.3, 0.2, 0.1, 0.1]
    units = [str(value) if value else "" for value in rng.integers(0, 40, 60)]
    fold = assign_folds(present, units, 4)
    for unit in {*units} - {""}:
        assert len({int(fold[row]) for row in range(60) if units[row] == unit}) == 1
    assert np.bincount(fold, minlength=4).min() >= 5


@often
@given(SEEDS)
def test_plugin_threshold_is_half_the_best_f1_that_the_probabilities_expect(seed):
    probs = np.random.default_rng(seed).random((30, 2)) ** 3
    everything = np.ones_like(probs, bool)
    expected = []
    for column in probs.T:
        falling = np.sort(column)[::-1]
        f1 = [2 * falling[:k].sum() / (k + column.sum()) for k in range(1, 31)]
        expected.append(max(f1) / 2)
    assert plugin_thresholds(Ranked.of(probs, everything, everything)) == pytest.approx(np.array(expected))


def test_a_plugin_threshold_calls_no_more_than_twice_as_many_as_carry_the_node():
    rng = np.random.default_rng(0)
    probs = np.column_stack([rng.uniform(0.09, 0.11, 500), np.full(500, 0.1), rng.beta(0.2, 1.8, 500)])
    thresholds = plugin_thresholds(Ranked.of(probs, rng.random(probs.shape) < probs / 2, np.ones_like(probs, bool)))
    called = (probs >= thresholds).sum(axis=0)
    assert called[0] == int(2 * probs[:, 0].sum())  # half the best F1 that they expect would call all 500
    assert called[1] == 0  # equals are called all or not at all
    assert 10 < called[2] < 2 * probs[:, 2].sum()


def test_plugin_thresholds_of_few_samples_are_pulled_to_those_of_their_level():
    rng = np.random.default_rng(2)
    probs = rng.beta(0.2, 1.8, (50, 4)) * [1.0, 0.1, 1.0, 0.5]
    targets = Targets(rng.random(probs.shape) < probs, np.ones_like(probs, bool))
    plain, pulled = (
        fit_thresholds(THRESHOLDS["plugin"], tuple("abcd"), probs, targets, ThresholdOptions(resamples=0, level=level))
        for level in ((), (0, 0, 1, 1))
    )
    for nodes in ([0, 1], [2, 3]):
        common = np.log(plain.values[nodes]).mean()
        np.testing.assert_allclose(np.log(pulled.values[nodes]), (np.log(plain.values[nodes]) + 2 * common) / 3)


@pytest.mark.parametrize(("level", "positives"), [(0.05, 8), (0.02, 14)])
def test_a_rare_class_that_is_ranked_right_but_timidly_is_called(level, positives):
    rng = np.random.default_rng(1)
    present = np.arange(1000)[:, None] < positives
    probs = np.where(present, level, level / 8) * rng.uniform(0.9, 1.1, (1000, 1))
    threshold = plugin_thresholds(Ranked.of(probs, present, np.ones_like(present)))
    assert ((probs >= threshold) == present).all()


@pytest.mark.parametrize("rule", ["plugin", "bagged"])
def test_thresholds_of_new_rules_have_intervals_and_say_the_rule(rule):
    rng = np.random.default_rng(0)
    probs = rng.random((400, 3))
    present = rng.random(probs.shape) < probs * [1, 0.5, 0.01]
    limits = fit_thresholds(
        THRESHOLDS[rule], ("a", "b", "c"), probs, Targets(present, np.ones_like(present)), ThresholdOptions()
    )
    assert limits.rules == (rule, rule, "plugin")
    assert (limits.low <= limits.values + 1e-9).all()
    assert (limits.values <= limits.high + 1e-9).all()


def test_temperature_keeps_the_order_and_finds_the_scale():
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, (4000, 3))
    present = rng.random(true.shape) < expit(true)
    found = Temperature.fit(("a", "b", "c"), true * 4, Targets(present, np.ones_like(present)), 50.0)
    assert found.slope == pytest.approx(np.full(3, 0.25), rel=0.05)
    assert (found.offset == 0).all()
    two = Targets(np.array([[False], [True]]), np.ones((2, 1), bool))
    sure = Temperature.fit(("a",), np.array([[-1.0], [1.0]]), two, 50.0)
    assert np.isfinite(sure.slope).all()


def test_isotonic_curves_are_those_of_the_reference():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(300, 1))
    present = rng.random(logits.shape) < expit(2 * logits)
    (curve,) = fit_curves(logits, Targets(present, np.ones_like(present)), 0.0)
    n = present.sum()
    goals = np.where(present[:, 0], (n + 1) / (n + 2), 1 / (300 - n + 2))
    reference = IsotonicRegression().fit(logits[:, 0], goals).predict(logits[:, 0])
    mine = expit(curve.bend(logits[:, 0], logits[:, 0]))
    assert np.abs(mine - reference).mean() < 0.06  # straight between blocks here, steps there
    rising = curve.bend(np.linspace(-4, 4, 200), np.zeros(200))
    assert (np.diff(rising) >= 0).all()


@pytest.mark.parametrize("seed", range(8))
def test_a_kept_ensemble_predicts_the_same_to_the_last_bit(seed, tmp_path):
    rng = np.random.default_rng(seed)
    taxonomy = random_taxonomy(rng)
    truth = draw_truth(rng, taxonomy, 60)
    members = draw_members(rng, truth, taxonomy)
    chosen = {"calibrate": "isotonic", "aggregate": "logistic_stack"}
    ensemble = fit(members, truth, taxonomy, QUICK.model_copy(update=chosen))
    keep.save(ensemble, tmp_path)
    one, other = ensemble.predict(members), keep.load(tmp_path).predict(members)
    assert one.probs.tobytes() == other.probs.tobytes()
    assert one.safe.column.tolist() == other.safe.column.tolist()
