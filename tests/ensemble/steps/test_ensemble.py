"""An ensemble as steps: the reader of exported folders, which knows no rule, answers as the ensemble does."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
from ensemble_cases import draw_member, draw_members, draw_truth, random_taxonomy, taxonomy_text

from hpa_hier.ensemble.calibrate.calibration import Uncalibrated
from hpa_hier.ensemble.calibrate.prior import Prior
from hpa_hier.ensemble.combine.aggregate import Aggregate
from hpa_hier.ensemble.combine.blend import Blend, Selection
from hpa_hier.ensemble.combine.logistic_stack import LogisticStack
from hpa_hier.ensemble.combine.mean import Concat, Mean
from hpa_hier.ensemble.combine.reconcile import Lift
from hpa_hier.ensemble.combine.rnn import Rnn, columns_by_depth
from hpa_hier.ensemble.decide.safe import LIKELIEST, REACHING
from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.ensemble.fit import fit
from hpa_hier.ensemble.rules import AGGREGATES, CALIBRATIONS, RECONCILERS
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.ensemble.steps.ensemble import write_ensemble
from hpa_hier.errors import UserError
from hpa_hier.metrics.arrays import Floats
from hpa_hier.predict.export.reader import Reader
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy


def read(ensemble: Ensemble, safe_answers: bool = True) -> Reader:
    """Return a reader of what an export writes, without networks; through JSON, as a file holds it."""
    reader = Reader.__new__(Reader)
    content = write_ensemble(ensemble, safe_answers).to_json()
    reader.rules = json.loads(json.dumps(content, allow_nan=False))
    return reader


def check_same(ensemble: Ensemble, members: Sequence[Scores], most: float) -> None:
    """Check probabilities to within `most`, and labels and safe answers by name."""
    own, found = ensemble.predict(members), read(ensemble).combine({one.name: one.logits for one in members})
    taxonomy, nodes = ensemble.taxonomy, ensemble.taxonomy.without_virtual.nodes
    columns = [taxonomy.column[node] for node in nodes]
    assert np.abs(found["probs"] - own.probs[:, columns]).max() <= most
    near = (np.abs(own.probs - own.thresholds) <= most).any(axis=1)  # may fall on either side
    assert near.mean() < 0.2
    for row in np.flatnonzero(~near):
        there = [node for node, on in zip(nodes, own.present[row, columns], strict=True) if on]
        assert found["labels"][row] == [node for node in there if taxonomy.is_leaf(node)]
        assert found["groups"][row] == [node for node in there if not taxonomy.is_leaf(node)]
        assert found["safe"][row, 0] == (*taxonomy.nodes, "unsure")[own.safe.column[row]]


class Drawn:
    """A label graph with truth and members, one of which was trained on one node's images alone."""

    def __init__(self, seed: int, exclusive: bool = False) -> None:
        rng = np.random.default_rng(seed)
        text = taxonomy_text(rng, graph=not exclusive)
        self.taxonomy = Taxonomy.from_text(text.replace("\n", "\nexclusive: true\n", 1) if exclusive else text)
        if not exclusive:
            half = self.taxonomy.leaves[len(self.taxonomy.leaves) // 2 :]
            self.taxonomy = self.taxonomy.with_virtual({"has_rare": half})
        truth = draw_truth(rng, self.taxonomy, 60)
        if exclusive:
            truth = self._one_leaf(rng, truth)
        self.members = draw_members(rng, truth, self.taxonomy)
        if not exclusive:
            self.members.append(draw_member(rng, "partition", ("has_rare",), truth, self.taxonomy))
            given = {"minority": "has_rare"}
            self.members = [replace(one, given=given.get(one.name, "")) for one in self.members]
        self.truth, self.louder = truth, float(rng.uniform(0.3, 3))

    def _one_leaf(self, rng: np.random.Generator, truth: Truth) -> Truth:
        leaves = np.array([self.taxonomy.column[leaf] for leaf in self.taxonomy.leaves])
        present = np.zeros(truth.present.shape, bool)
        present[np.arange(len(present)), rng.choice(leaves, len(present))] = True
        return replace(truth, present=self.taxonomy.close(present), known=np.ones_like(present))

    def fit(self, **settings: object) -> Ensemble:
        return fit(self.members, self.truth, self.taxonomy, EnsembleSettings(bootstrap=0, folds=0, **settings))

    @property
    def new(self) -> list[Scores]:
        """Scores of other sizes than those fitted on."""
        return [replace(one, logits=one.logits * self.louder - 0.3) for one in self.members]


@pytest.fixture(scope="module")
def drawn() -> Callable[..., Drawn]:
    kept: dict[Any, Drawn] = {}
    return lambda *key: kept[key] if key in kept else kept.setdefault(key, Drawn(*key))


def draw_aggregate(name: str, ensemble: Ensemble) -> Aggregate:
    """Draw an aggregate of this name, as if it were fitted."""
    rng, layout = np.random.default_rng(0), ensemble.combiner.layout
    shares = layout.covers * rng.uniform(0.1, 1, layout.covers.shape)
    shares /= np.maximum(shares.sum(axis=0), 1e-12)
    offset = rng.normal(size=shares.shape[1])
    if name in ("blend", "selection"):
        return {"blend": Blend, "selection": Selection}[name](shares)
    if name != "rnn":
        return {"mean": Mean, "concat": Concat, "logistic_stack": LogisticStack}[name](1.3 * shares, offset)
    from hpa_hier.ensemble.combine.rnn_network import CorrectingRnn

    levels = columns_by_depth(shares.shape[1], ensemble.taxonomy.bottom_up)
    state = CorrectingRnn(int(layout.covers.sum()), levels, 8, 0.0).state_dict()
    tensors = {key: rng.normal(size=tuple(value.shape)).astype(np.float32) for key, value in state.items()}
    return Rnn(Mean(shares, offset), levels, tensors)


@pytest.mark.parametrize("aggregate", sorted(AGGREGATES))
def test_every_aggregate_and_reconciliation_answers_the_same(
    drawn: Any, aggregate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if aggregate == "rnn":
        from hpa_hier.ensemble.combine import rnn_network

        monkeypatch.setattr(rnn_network, "_HIDDEN", 8)
    one = drawn(len(aggregate) % 3, False)
    ensemble = one.fit(aggregate="mean", calibrate="temperature")
    combiner = replace(ensemble.combiner, aggregate=draw_aggregate(aggregate, ensemble))
    most = 1e-5 if aggregate == "rnn" else 1e-9  # the network adds in float32
    check_same(replace(ensemble, combiner=combiner), one.new, most)
    lift = Lift(one.taxonomy.bottom_up)
    check_same(replace(ensemble, combiner=replace(combiner, reconciler=lift)), one.new, most)


@pytest.mark.parametrize("usual", [0.0, -1.0])
def test_evidence_of_exactly_0_or_1_answers_the_same(drawn: Any, usual: float) -> None:
    one = drawn(1, False)
    ensemble = one.fit(aggregate="mean", calibrate="none", reconcile="evidence")
    rule, covers = ensemble.combiner.reconciler, ensemble.combiner.layout.covers
    rule = replace(rule, share=1.0, usual=np.where(rule.graph.is_group, usual, 0.0))
    shares = covers / np.maximum(covers.sum(axis=0), 1)
    combiner = replace(ensemble.combiner, aggregate=Mean(shares, np.zeros(shares.shape[1])), reconciler=rule)
    check_same(replace(ensemble, combiner=combiner), [replace(m, logits=m.logits * 0) for m in one.members], 1e-9)


def test_a_taxonomy_of_one_leaf_a_sample_answers_the_same(drawn: Any) -> None:
    one = drawn(1, True)
    ensemble = one.fit(aggregate="mean")
    assert {ensemble.reconcile, "lift", "evidence"} == set(RECONCILERS)
    check_same(ensemble, one.new, 1e-9)


@pytest.mark.parametrize("calibrate", sorted(CALIBRATIONS))
@pytest.mark.parametrize("thresholds", ["f1", "fixed"])
def test_every_calibration_answers_the_same(drawn: Any, calibrate: str, thresholds: str) -> None:
    one = drawn(3, False)
    check_same(one.fit(calibrate=calibrate, aggregate="mean", thresholds=thresholds), one.new, 1e-9)


@pytest.mark.parametrize("candidate", [LIKELIEST, REACHING])
@pytest.mark.parametrize("exclusive", [False, True], ids=["several", "exclusive"])
def test_safe_answers_and_another_prior_are_the_same(drawn: Any, candidate: str, exclusive: bool) -> None:
    one = drawn(4, exclusive)
    plain = one.fit(aggregate="mean")
    ensemble = replace(plain, about={"samples": 60})
    decision = replace(plain.decision, safe=replace(plain.decision.safe, candidate=candidate))
    check_same(replace(ensemble, decision=decision), one.new, 1e-9)
    shares = np.random.default_rng(0).uniform(0.1, 0.9, len(one.taxonomy.nodes))
    check_same(replace(ensemble, decision=decision).with_prior(Prior("elsewhere", shares)), one.new, 1e-9)


def test_nodes_that_are_doubtful_or_never_called_are_not_called(drawn: Any) -> None:
    for exclusive in (False, True):
        one = drawn(5, exclusive)
        plain = one.fit(aggregate="mean")
        for rule in ("half", "never"):
            rules = tuple(rule if j % 2 else own for j, own in enumerate(plain.thresholds.rules))
            thresholds = replace(plain.thresholds, rules=rules)
            check_same(replace(plain, decision=replace(plain.decision, thresholds=thresholds)), one.new, 1e-9)


def test_nothing_is_called_where_only_doubtful_nodes_reach_their_thresholds(drawn: Any) -> None:
    one = drawn(5, False)
    plain = one.fit(aggregate="mean")
    last = np.arange(len(one.taxonomy.nodes)) == one.taxonomy.column[one.taxonomy.leaves[-1]]
    rules = tuple("fixed" if founded else "half" for founded in last)
    thresholds = replace(plain.thresholds, rules=rules, values=np.where(last, 0.7, 0.2))
    ensemble = replace(plain, decision=replace(plain.decision, thresholds=thresholds))
    said = ensemble.predict(one.new)
    assert 0 < ((said.probs >= 0.2).any(axis=1) & ~said.present.any(axis=1)).mean() < 1
    check_same(ensemble, one.new, 1e-9)


def test_a_factor_of_several_members_is_their_mean(drawn: Any) -> None:
    one = Drawn(7)
    rng, nodes = np.random.default_rng(1), next(m.nodes for m in one.members if m.name == "partition")
    one.members.append(draw_member(rng, "partition-s1", nodes, one.truth, one.taxonomy))
    ensemble = one.fit(aggregate="mean")
    assert ensemble.combiner.factors == {"minority": "has_rare"}
    check_same(ensemble, one.new, 1e-9)


def test_tables_of_probabilities_are_read_as_such() -> None:
    one = Drawn(6)
    ensemble = replace(one.fit(aggregate="mean"), about={"score_kind": "probs"})
    probs = {scores.name: 1 / (1 + np.exp(-scores.logits)) for scores in one.members}
    found = read(ensemble).combine(probs)
    shown = [one.taxonomy.column[node] for node in one.taxonomy.without_virtual.nodes]
    bounded = [replace(scores, logits=np.clip(scores.logits, -11.5129, 11.5129)) for scores in one.members]
    assert np.abs(found["probs"] - ensemble.predict(bounded).probs[:, shown]).max() < 1e-5


def test_where_there_are_no_safe_answers_none_are_written(drawn: Any) -> None:
    one = drawn(0, False)
    found = read(one.fit(aggregate="mean"), safe_answers=False).combine({m.name: m.logits for m in one.members})
    assert sorted(found) == ["groups", "labels", "present", "probs"]


class Odd(Mean):
    """A rule of a user's own."""

    name: ClassVar[str] = "odd"

    def apply(self, logits: Any) -> Floats:
        return super().apply(logits) ** 2


class OddCalibration(Uncalibrated):
    """A rule of a user's own."""

    name: ClassVar[str] = "odd"

    def apply(self, logits: Floats) -> Floats:
        return logits**3


class OddLift(Lift):
    """A rule of a user's own."""

    name: ClassVar[str] = "odd"

    def apply(self, raw: Floats, answered: Any) -> Floats:
        return raw**2


@pytest.mark.parametrize("setting", ["calibrate", "aggregate", "reconcile"])
def test_a_rule_without_steps_is_refused_by_its_setting(setting: str) -> None:
    rng = np.random.default_rng(0)
    taxonomy = random_taxonomy(rng)
    truth = draw_truth(rng, taxonomy, 40)
    settings = EnsembleSettings(bootstrap=0, folds=0, calibrate="none", aggregate="mean", reconcile="lift")
    ensemble = fit(draw_members(rng, truth, taxonomy), truth, taxonomy, settings)
    combiner = ensemble.combiner
    assert isinstance(combiner.aggregate, Mean)
    changed = {
        "calibrate": {
            "calibrations": {
                name: OddCalibration(one.nodes, one.slope, one.offset) for name, one in combiner.calibrations.items()
            }
        },
        "aggregate": {"aggregate": Odd(combiner.aggregate.shares, combiner.aggregate.offset)},
        "reconcile": {"reconciler": OddLift(taxonomy.bottom_up)},
    }[setting]
    with pytest.raises(UserError, match=rf"ensemble\.{setting}: odd cannot be exported, as ensemble/steps/\w+\.py"):
        write_ensemble(replace(ensemble, combiner=replace(combiner, **changed)))


def test_the_reader_is_short_and_needs_numpy_alone() -> None:
    from hpa_hier.predict.export import reader

    text = open(reader.__file__, encoding="utf-8").read()  # noqa: PTH123, SIM115
    assert len(text.splitlines()) <= 67
    imported = {
        line.split()[1].partition(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))
    }
    assert imported == {"hashlib", "json", "functools", "importlib", "pathlib", "typing", "numpy"}
