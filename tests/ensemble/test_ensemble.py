"""What holds for any tree or graph, any scores and any thresholds."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from ensemble_cases import SEEDS, draw_members, draw_truth, random_graph, random_taxonomy
from examples import examples
from hypothesis import HealthCheck, given, settings

from hpa_hier.ensemble.combine.reconcile import lift
from hpa_hier.ensemble.combiner import Combiner
from hpa_hier.ensemble.ensemble import Prediction
from hpa_hier.ensemble.fit import fit
from hpa_hier.ensemble.scores.fit_data import fit_data
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.errors import UserError
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

pure = settings(max_examples=300)
whole = examples(200, suppress_health_check=[HealthCheck.too_slow])


@pure
@given(SEEDS)
def test_no_node_is_more_likely_than_one_above_it_after_lift(seed):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng)
    lifted = lift(rng.random((7, graph.size)), graph.order)
    assert graph.violations(lifted) == 0


@pure
@given(SEEDS)
def test_leaves_are_bit_equal_after_lift(seed):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng)
    probs = rng.random((7, graph.size))
    assert lift(probs, graph.order)[:, graph.leaves].tobytes() == probs[:, graph.leaves].tobytes()


@pure
@given(SEEDS)
def test_lift_never_lowers_and_changes_nothing_the_second_time(seed):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng)
    probs = rng.random((7, graph.size))
    once = lift(probs, graph.order)
    assert (once >= probs).all()
    assert lift(once, graph.order).tobytes() == once.tobytes()


@pure
@given(SEEDS)
def test_closed_decisions_are_coherent_and_leave_leaves_as_they_are(seed):
    rng = np.random.default_rng(seed)
    taxonomy = random_taxonomy(rng)
    decided = rng.random((9, len(taxonomy.nodes))) < 0.2
    closed = taxonomy.close(decided)
    for node in range(len(taxonomy.nodes)):
        assert (closed[:, [node]] <= closed[:, taxonomy.closure[node]]).all()
    leaves = [taxonomy.column[leaf] for leaf in taxonomy.leaves]
    assert (closed[:, leaves] == decided[:, leaves]).all()
    assert (taxonomy.close(closed) == closed).all()


@whole
@given(SEEDS)
def test_order_of_members_and_rows_does_not_matter(seed):
    case = Case(seed)
    first = case.fitted()
    rows = case.rng.permutation(len(case.truth.ids))
    shuffled = [_rows(scores, case.rng.permutation(rows)) for scores in case.rng.permutation(np.array(case.members))]
    again = fit(shuffled, _truth_rows(case.truth, rows), case.taxonomy, case.settings)
    assert again.thresholds.values.tobytes() == first.thresholds.values.tobytes()
    one, other = first.predict(case.members), again.predict([_rows(s, rows) for s in reversed(case.members)])
    assert other.probs.tobytes() == one.probs[rows].tobytes()
    assert other.present.tobytes() == one.present[rows].tobytes()


@whole
@given(SEEDS)
def test_a_row_is_predicted_the_same_in_any_batch(seed):
    case = Case(seed)
    ensemble = case.fitted()
    whole = ensemble.predict(case.members)
    for size in (1, 3, 16):
        start = int(case.rng.integers(0, len(case.truth.ids) - size))
        rows = np.arange(start, start + size)
        part = ensemble.predict([_rows(scores, rows) for scores in case.members])
        assert part.raw.tobytes() == whole.raw[rows].tobytes()
        assert part.probs.tobytes() == whole.probs[rows].tobytes()
        assert part.present.tobytes() == whole.present[rows].tobytes()


@whole
@given(SEEDS)
def test_order_of_siblings_does_not_matter(seed):
    case = Case(seed)
    lines = case.taxonomy.text.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("  Group")] + [len(lines)]
    blocks = [lines[a:b] for a, b in pairwise(starts)]
    turned = Taxonomy.from_text("\n".join([*lines[:3], *(line for block in reversed(blocks) for line in block)]))
    columns = [case.taxonomy.column[node] for node in turned.nodes]
    truth = Truth(case.truth.ids, case.truth.present[:, columns], case.truth.known[:, columns])
    one = case.fitted().predict(case.members)
    other = fit(case.members, truth, turned, case.settings).predict(case.members)
    assert other.probs == pytest.approx(one.probs[:, columns], **case.precision)
    assert other.thresholds == pytest.approx(one.thresholds[columns], **case.precision)


@whole
@given(SEEDS)
def test_a_fitted_ensemble_is_coherent_and_keeps_its_leaves(seed):
    case = Case(seed, reconcile="lift")
    prediction = case.fitted().predict(case.members)
    leaves = [case.taxonomy.column[leaf] for leaf in case.taxonomy.leaves]
    assert prediction.probs[:, leaves].tobytes() == prediction.raw[:, leaves].tobytes()
    above = case.taxonomy.closure
    for node in range(len(case.taxonomy.nodes)):
        assert (prediction.probs[:, [node]] <= prediction.probs[:, above[node]]).all()
    assert (case.taxonomy.close(prediction.present) == prediction.present).all()


@whole
@given(SEEDS)
def test_groups_nobody_answers_for_follow_their_children(seed):
    case = Case(seed, reconcile="lift")
    members = [scores for scores in case.members if scores.name != "coarse"]
    ensemble = fit(members, case.truth, case.taxonomy, case.settings)
    probs = ensemble.predict(members).probs
    for group, children in case.taxonomy.bottom_up:
        assert (probs[:, group] == probs[:, list(children)].max(axis=1)).all()


class Case:
    """A drawn taxonomy with truth, members and settings."""

    def __init__(self, seed: int, **chosen: str) -> None:
        self.rng = np.random.default_rng(seed)
        self.taxonomy = random_taxonomy(self.rng)
        self.truth = draw_truth(self.rng, self.taxonomy, 60)
        self.members = draw_members(self.rng, self.truth, self.taxonomy)
        drawn = {
            "aggregate": str(self.rng.choice(["mean", "concat", "logistic_stack"])),
            "thresholds": str(self.rng.choice(["fixed", "f1", "plugin", "bagged"])),
            "calibrate": str(self.rng.choice(["beta", "platt", "temperature", "isotonic", "none"])),
            "reconcile": str(self.rng.choice(["evidence", "lift"])),
        }
        self.settings = EnsembleSettings(**(drawn | chosen), small_class_positives=5, bootstrap=0, folds=0)  # type: ignore[arg-type]

        # the share of the evidence is searched for, to a millionth, where all else is solved for
        self.precision = (
            {"rel": 1e-5, "abs": 1e-5} if self.settings.reconcile == "evidence" else {"rel": 1e-9, "abs": 1e-12}
        )

    def fitted(self):
        return fit(self.members, self.truth, self.taxonomy, self.settings)


def _rows(scores: Scores, rows: np.ndarray) -> Scores:
    return Scores(scores.name, tuple(scores.ids[i] for i in rows), scores.nodes, scores.logits[rows])


def _truth_rows(truth: Truth, rows: np.ndarray) -> Truth:
    return Truth(tuple(truth.ids[i] for i in rows), truth.present[rows], truth.known[rows])


@whole
@given(SEEDS)
def test_invariants_relabelling_the_taxonomy_permutes_the_result(seed):
    """Other names, in another order, with the same meanings: the same numbers under the new names."""
    case = Case(seed)
    number = dict(zip(case.taxonomy.nodes, case.rng.permutation(len(case.taxonomy.nodes)), strict=True))
    text = re.sub(
        r"Group \d+(?: organelle \d+)?|Leaf \d+", lambda found: f"Node {number[found.group()]}", case.taxonomy.text
    )
    other = Taxonomy.from_text(text)
    name = {node: f"Node {number[node]}" for node in case.taxonomy.nodes}
    columns = [case.taxonomy.nodes.index(next(old for old, new in name.items() if new == node)) for node in other.nodes]
    members = [Scores(one.name, one.ids, tuple(name[n] for n in one.nodes), one.logits) for one in case.members]
    truth = Truth(case.truth.ids, case.truth.present[:, columns], case.truth.known[:, columns])
    plain = case.fitted().predict(case.members)
    renamed = fit(members, truth, other, case.settings).predict(members)
    assert renamed.probs == pytest.approx(plain.probs[:, columns], **case.precision)
    assert renamed.thresholds == pytest.approx(plain.thresholds[columns], **case.precision)


@whole
@given(SEEDS)
def test_invariants_no_violation_after_reconciling_and_closure_under_any_thresholds(seed):
    case = Case(seed)
    prediction = case.fitted().predict(case.members)
    anything = case.rng.random(len(case.taxonomy.nodes))
    closed = case.taxonomy.close(prediction.probs >= anything)
    above = case.taxonomy.closure
    for node in range(len(case.taxonomy.nodes)):
        assert (closed[:, [node]] <= closed[:, above[node]]).all()


def test_predictions_are_taken_by_their_samples_and_joined_in_order():
    case = Case(3)
    ensemble = case.fitted()
    whole = ensemble.predict(case.members)
    some = [*whole.ids[7:2:-1], whole.ids[0]]
    part, rows = whole.take(some), [7, 6, 5, 4, 3, 0]
    assert part.ids == tuple(some)
    first, second = whole.take(whole.ids[:5]), whole.take(whole.ids[5:])
    for name in ("raw", "probs", "present"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[rows])
        np.testing.assert_array_equal(getattr(Prediction.join([first, second]), name), getattr(whole, name))
    for name in ("column", "confidence"):
        np.testing.assert_array_equal(getattr(part.safe, name), getattr(whole.safe, name)[rows])
        joined = Prediction.join([first, second]).safe
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole.safe, name))
    assert Prediction.join([second, first]).ids == (*second.ids, *first.ids)


def test_what_comes_after_calibrations_that_are_given_is_checked_and_fitted_as_otherwise():
    case = Case(5)
    data = fit_data(case.members, case.truth)
    combiner = Combiner.fit(data, case.taxonomy, case.settings)
    again = Combiner.fit_calibrated(data, combiner.calibrations, case.taxonomy, case.settings)
    for one, other in zip(again.probs(case.members), combiner.probs(case.members), strict=True):
        np.testing.assert_array_equal(one, other)
    lost = [
        Scores(one.name, one.ids, kept, one.logits[:, [one.nodes.index(node) for node in kept]])
        for one in case.members
        if (kept := tuple(node for node in one.nodes if node != case.taxonomy.leaves[0]))
    ]
    with pytest.raises(UserError, match=f"no member answers for the leaf '{re.escape(case.taxonomy.leaves[0])}'"):
        Combiner.fit_calibrated(fit_data(lost, case.truth), {}, case.taxonomy, case.settings)
