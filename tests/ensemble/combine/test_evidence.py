"""Evidence from members that answer for groups: what it does to leaves and groups, and what must hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ensemble_cases import SEEDS, draw_members, draw_truth, random_taxonomy
from hypothesis import HealthCheck, given, settings

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble import ensemble_file
from hpa_hier.ensemble.combine.evidence import Evidence
from hpa_hier.ensemble.fit import fit
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.predict.explanation.explained import Explained
from hpa_hier.predict.explanation.numbers import explain_in_numbers
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

whole = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
PLAIN = EnsembleSettings(calibrate="none", aggregate="mean", refine=False, thresholds="fixed", bootstrap=0, folds=0)


@whole
@given(SEEDS)
def test_evidence_is_coherent_and_members_of_leaves_alone_change_no_bit_of_a_leaf(seed):
    rng = np.random.default_rng(seed)
    taxonomy = random_taxonomy(rng)
    truth = draw_truth(rng, taxonomy, 60)
    members = draw_members(rng, truth, taxonomy)
    said = fit(members, truth, taxonomy, PLAIN).predict(members)
    for node in range(len(taxonomy.nodes)):
        assert (said.probs[:, [node]] <= said.probs[:, taxonomy.closure[node]]).all()
    leaves = [taxonomy.column[leaf] for leaf in taxonomy.leaves]
    flat = [one for one in members if one.name != "coarse"]
    alone = fit(flat, truth, taxonomy, PLAIN).predict(flat)
    assert alone.probs[:, leaves].tobytes() == alone.raw[:, leaves].tobytes()


def test_a_kept_ensemble_hears_the_same_to_the_last_bit(tmp_path: Path) -> None:
    world = World(0)
    ensemble = fit(world.members, world.truth, world.taxonomy, PLAIN)
    assert reconciler(ensemble).share > 0
    ensemble_file.save(ensemble, tmp_path)
    again = ensemble_file.load(tmp_path)
    assert again.predict(world.members).probs.tobytes() == ensemble.predict(world.members).probs.tobytes()


@pytest.mark.parametrize("seed", range(3))
def test_an_independent_member_for_groups_lowers_the_log_loss_of_leaves_and_of_groups(seed: int) -> None:
    world, fresh = World(seed), World(seed + 100)
    for nodes in (world.taxonomy.leaves, world.taxonomy.groups):
        losses = {
            rule: fresh.log_loss(world.fitted(rule).predict(fresh.members).probs, nodes)
            for rule in ("evidence", "lift")
        }
        assert losses["evidence"] < losses["lift"] - 0.01


def test_what_a_member_makes_up_is_all_but_ignored() -> None:
    shares = []
    for seed in range(5):
        world = World(seed)
        noise = np.random.default_rng(seed).normal(size=(len(world.truth.ids), 2)) * 2
        world.members[-1] = Scores("coarse", world.truth.ids, world.taxonomy.groups, noise)
        shares.append(reconciler(world.fitted("evidence")).share)
    assert np.mean(shares) < 0.02
    assert reconciler(World(0).fitted("evidence")).share > 0.2


def test_a_share_is_the_likeliest_under_a_normal_prior_of_standard_deviation_a_tenth() -> None:
    """There the samples pull as hard as the prior holds: the slope of their log-likelihood is share / 0.1²."""
    world = World(0)
    rule, leaves = reconciler(world.fitted("evidence")), [world.taxonomy.column[one] for one in world.taxonomy.leaves]
    raw, step = world.fitted("evidence").predict(world.members).raw, 1e-4
    present = world.truth.present[:, leaves]

    def log_likelihood(share: float) -> float:
        probs = replace(rule, share=share).hear(raw, np.ones(raw.shape[1], bool))[1].leaves(raw)[:, leaves]
        return float(np.log(np.where(present, probs, 1 - probs)).sum())

    slope = (log_likelihood(rule.share + step) - log_likelihood(rule.share - step)) / (2 * step)
    assert 0.05 < rule.share < 1.5
    assert slope == pytest.approx(rule.share / 0.1**2, rel=0.01)


def test_a_share_is_held_nearer_to_0_on_fewer_samples() -> None:
    few, many = (
        np.mean([reconciler(World(s, size).fitted("evidence")).share for s in range(5)]) for size in (30, 1000)
    )
    assert few < 0.7 * many


def test_a_sample_that_no_member_says_a_group_of_keeps_its_leaves() -> None:
    world = World(1)
    ensemble = world.fitted("evidence")
    available = np.ones((3, len(world.truth.ids)), bool)
    available[0, ::2] = False  # coarse, first by name
    said, full = ensemble.predict(world.members, available), ensemble.predict(world.members)
    leaves = [world.taxonomy.column[leaf] for leaf in world.taxonomy.leaves]
    assert (said.probs[::2, leaves] == said.raw[::2, leaves]).all()
    assert said.probs[1::2].tobytes() == full.probs[1::2].tobytes()
    assert (full.probs[::2, leaves] != said.probs[::2, leaves]).any()


def test_a_group_of_one_leaf_that_nobody_answers_for_is_that_leaf() -> None:
    text = "tree:\n  G:\n    a: {label: 1}\n  H:\n    b: {label: 2}\n    c: {label: 3}\n"
    taxonomy = Taxonomy.from_text(f"taxonomy: t\nlevels: {{leaf: leaves}}\n{text}")
    rng = np.random.default_rng(0)
    probs, columns = rng.random((40, 5)), taxonomy.column
    present = taxonomy.close((rng.random((40, 5)) < 0.3) & np.array([node in "abc" for node in taxonomy.nodes]))
    answered = np.array([node in "abc" for node in taxonomy.nodes])
    rule = Evidence.fit(probs, answered, Targets(present, np.ones_like(present)), taxonomy)
    said = rule.apply(rule.fill(probs, answered), answered)
    assert said[:, columns["G"]] == pytest.approx(probs[:, columns["a"]], abs=1e-15)
    assert (said[:, columns["H"]] > probs[:, [columns["b"], columns["c"]]].max(axis=1)).any()


def test_an_explanation_says_what_a_leaf_heard_and_from_whom() -> None:
    world = World(2)
    ensemble = world.fitted("evidence")
    text = explain_in_numbers(
        Explained(ensemble, tuple(one.take([world.truth.ids[0]]) for one in world.members), "a test")
    )
    lines = [line for line in text.splitlines() if "log-odds by evidence (" in line]
    assert len(lines) == len(world.taxonomy.leaves)
    assert "usually" in lines[0]
    assert text.count("leaves say ") == len(world.taxonomy.groups)


def reconciler(ensemble) -> Evidence:
    rule = ensemble.combiner.reconciler
    assert isinstance(rule, Evidence)
    return rule


class World:
    """Drawn logits of known likelihood ratio: leaf members that err alike, one of groups that errs for itself."""

    def __init__(self, seed: int, size: int = 400) -> None:
        rng = np.random.default_rng([seed, 3])
        lines = ["taxonomy: t", "levels: {coarse: 1, leaf: leaves}", "tree:"]
        for group in "AB":
            lines += [f"  {group}:", *(f"    {group}{leaf}: {{label: {group}{leaf}}}" for leaf in range(4))]
        self.taxonomy = Taxonomy.from_text("\n".join(lines) + "\n")
        ids = tuple(f"s{row:05d}" for row in range(size))
        leaves, groups = self.taxonomy.leaves, self.taxonomy.groups
        columns = [self.taxonomy.column[leaf] for leaf in leaves]
        present = np.zeros((size, len(self.taxonomy.nodes)), bool)
        present[:, columns] = rng.random((size, len(columns))) < 0.08
        present = self.taxonomy.close(present)
        self.truth = Truth(ids, present, np.ones_like(present))
        shared = self._logits(rng, present[:, columns], 0.08, 1.2)
        self.members = [
            *(Scores(name, ids, leaves, shared + rng.normal(size=shared.shape) * 0.1) for name in ("leaf", "leaf-s1")),
            Scores("coarse", ids, groups, self._logits(rng, self._columns(present, groups), 1 - 0.92**4, 2.0)),
        ]

    @staticmethod
    def _logits(rng: np.random.Generator, present: np.ndarray, usual: float, apart: float) -> np.ndarray:
        """Draw the posterior log-odds of a signal of unit noise, `apart` between present and not."""
        signal = present * apart + rng.normal(size=present.shape)
        return np.asarray(np.log(usual / (1 - usual)) + apart * (signal - apart / 2))

    def _columns(self, values: np.ndarray, nodes: tuple[str, ...]) -> np.ndarray:
        return values[:, [self.taxonomy.column[node] for node in nodes]]

    def fitted(self, rule: str):
        return fit(self.members, self.truth, self.taxonomy, PLAIN.model_copy(update={"reconcile": rule}))

    def log_loss(self, probs: np.ndarray, nodes: tuple[str, ...]) -> float:
        """Log loss, summed over the nodes."""
        probs, present = (self._columns(one, nodes) for one in (probs, self.truth.present))
        return float(-np.log(np.where(present, probs, 1 - probs).clip(1e-12)).sum(axis=1).mean())
