"""Combiner: from members' scores to one coherent probability for every node."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.calibrate.calibration import Calibration
from hpa_hier.ensemble.combine.aggregate import Aggregate, Layout, MemberLogits, coverage
from hpa_hier.ensemble.combine.factor import apply_factors, check_factors
from hpa_hier.ensemble.combine.reconcile import Reconciler
from hpa_hier.ensemble.combine.softmax import Softmax
from hpa_hier.ensemble.rules import AGGREGATES, CALIBRATIONS, RECONCILERS, choose
from hpa_hier.ensemble.scores.fit_data import FitData
from hpa_hier.ensemble.scores.scores import Scores, Truth, align
from hpa_hier.errors import UserError
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy


@dataclass(frozen=True)
class Combiner:
    """Calibrate, multiply by missing factors, aggregate, reconcile; each sample on its own."""

    taxonomy: Taxonomy  # the label tree; all columns are as its nodes
    calibrations: Mapping[str, Calibration]  # by member, in the order of their names; each knows its member's nodes
    factors: Mapping[str, str]  # member → the node whose probability its answers are multiplied by, where there is one
    aggregate: Aggregate  # the fitted rule
    reconciler: Reconciler  # the fitted rule

    @classmethod
    def fit(
        cls, data: FitData, taxonomy: Taxonomy, settings: EnsembleSettings, kept: dict[bytes, Calibration] | None = None
    ) -> Self:
        """Fit every step on samples that no member was trained on.

        Args:
            data: members' scores and the truth.
            taxonomy: the label tree.
            settings: names of the rules and their options.
            kept: calibrations that were fitted before, by what they were fitted on; new ones are added.

        Raises:
            UserError: a rule or a node is unknown, no member answers for a leaf, or a member's factor is missing.
        """
        rule = choose(AGGREGATES, settings.aggregate, "aggregate")
        data = data if rule.uses_factors else data.without_factors()
        _check_leaves(coverage([scores.nodes for scores in data.members], taxonomy.column), taxonomy)
        check_factors(data.members, taxonomy)
        calibrations = {
            scores.name: _calibrate(scores, available, data.truth, taxonomy, settings, {} if kept is None else kept)
            for scores, available in zip(data.members, data.available, strict=True)
        }
        return cls.fit_calibrated(data, calibrations, taxonomy, settings)

    @classmethod
    def fit_calibrated(
        cls, data: FitData, calibrations: Mapping[str, Calibration], taxonomy: Taxonomy, settings: EnsembleSettings
    ) -> Self:
        """Fit what comes after calibrations that are given, by member.

        Raises:
            UserError: a rule is unknown, no member answers for a leaf, or a member's factor is missing.
        """
        rule = choose(AGGREGATES, settings.aggregate, "aggregate")
        data = data if rule.uses_factors else data.without_factors()
        covers = coverage([scores.nodes for scores in data.members], taxonomy.column)
        _check_leaves(covers, taxonomy)
        check_factors(data.members, taxonomy)
        factors = {scores.name: scores.given for scores in data.members if scores.given}
        wide = _spread(calibrations, factors, data.members, taxonomy)
        logits = MemberLogits.fill(np.stack(wide), covers, data.available)
        answered = logits.answered
        targets = Targets(data.truth.present, data.truth.known & answered)  # where nobody answers, nothing is to fit
        aggregate = rule.fit(logits, targets, taxonomy, settings)
        reconcile = _choose_reconciler(taxonomy, settings)
        reconciler = reconcile.fit(aggregate.apply(logits), answered, data.truth.targets, taxonomy)
        return cls(taxonomy, calibrations, factors, aggregate, reconciler)

    @property
    def layout(self) -> Layout:
        """Names of members and nodes, and which member answers for which node."""
        nodes = [calibration.nodes for calibration in self.calibrations.values()]
        return Layout(tuple(self.calibrations), coverage(nodes, self.taxonomy.column), self.taxonomy)

    def probs(self, members: Sequence[Scores], available: Bools | None = None) -> tuple[Floats, Floats]:
        """Return the probabilities of every node, (B, N): after aggregation, and after reconciliation.

        Arguments and errors are those of `Ensemble.predict`.
        """
        values = np.stack(self.calibrate(members))
        every = np.ones(values.shape[:2], bool)
        logits = MemberLogits.fill(values, self.layout.covers, every if available is None else available)
        raw = self.reconciler.fill(self.aggregate.apply(logits), logits.answered)
        return raw, self.reconciler.apply(raw, logits.answered)

    def calibrate(self, members: Sequence[Scores]) -> list[Floats]:
        """Return each member's calibrated logits, (B, N), times their factor; 0 where it does not answer.

        Raises:
            UserError: a member is missing, or scores other nodes than those it was fitted with.
        """
        scored = align(members, members[0].ids if members else None)
        names, wanted = [scores.name for scores in scored], list(self.calibrations)
        if names != wanted:
            raise UserError(f"this ensemble combines {', '.join(wanted)}; got scores of {', '.join(names)}")
        return _spread(self.calibrations, self.factors, scored, self.taxonomy)


def _spread(
    calibrations: Mapping[str, Calibration], factors: Mapping[str, str], members: Sequence[Scores], taxonomy: Taxonomy
) -> list[Floats]:
    """Calibrate members' logits, lay them out in the taxonomy's columns, (B, N), and multiply by missing factors."""
    wide = []
    for scores in members:
        calibration = calibrations[scores.name]
        if scores.nodes != calibration.nodes:
            differing = sorted(set(scores.nodes) ^ set(calibration.nodes)) or list(scores.nodes)
            raise UserError(
                f"member '{scores.name}' scores other nodes than when the ensemble was fitted (such as "
                f"'{differing[0]}'); fit the ensemble again"
            )
        one = np.zeros((len(scores.ids), len(taxonomy.nodes)))
        one[:, [taxonomy.column[node] for node in scores.nodes]] = calibration.apply(scores.logits)
        wide.append(one)
    covers = coverage([scores.nodes for scores in members], taxonomy.column)
    columns = [taxonomy.column[factors[one.name]] if one.name in factors else None for one in members]
    return apply_factors(wide, covers, columns)


def _calibrate(
    scores: Scores,
    available: Bools,
    truth: Truth,
    taxonomy: Taxonomy,
    settings: EnsembleSettings,
    kept: dict[bytes, Calibration],
) -> Calibration:
    columns = [taxonomy.column[node] for node in scores.nodes]
    known = truth.known[:, columns] & available[:, None]
    if scores.given:  # it speaks of these samples only
        known &= (truth.present & truth.known)[:, [taxonomy.column[scores.given]]]
    rule, present = choose(CALIBRATIONS, settings.calibrate, "calibrate"), truth.present[:, columns]
    what = hashlib.sha256(repr((rule, scores.nodes, settings.shrink_positives, scores.logits.dtype)).encode())
    for array in (scores.logits, present, known):
        what.update(np.ascontiguousarray(array).data)
    if what.digest() not in kept:
        kept[what.digest()] = rule.fit(scores.nodes, scores.logits, Targets(present, known), settings.shrink_positives)
    return kept[what.digest()]


def _choose_reconciler(taxonomy: Taxonomy, settings: EnsembleSettings) -> type[Reconciler]:
    """Return the rule that the settings name; of an exclusive taxonomy the softmax, which is for no other.

    Raises:
        UserError: there is no such rule, or it does not suit the taxonomy.
    """
    rule = choose(RECONCILERS, settings.reconcile, "reconcile")
    if rule is Softmax and not taxonomy.exclusive:
        problem = f"ensemble.reconcile: softmax gives each sample one leaf, and {taxonomy.source} is not exclusive"
        raise UserError(f"{problem}; add 'exclusive: true' there, or leave reconcile out")
    return Softmax if taxonomy.exclusive else rule


def check_nodes(members: Sequence[Scores], taxonomy: Taxonomy) -> None:
    """Refuse members that answer for a node that the taxonomy does not have."""
    for scores in members:
        unknown = [node for node in scores.nodes if node not in taxonomy.column]
        if unknown:
            raise UserError(
                f"member '{scores.name}' answers for '{unknown[0]}', which {taxonomy.source} does not have; "
                "train it again or leave it out of ensemble.members"
            )


def _check_leaves(covers: Bools, taxonomy: Taxonomy) -> None:
    lost = [leaf for leaf in taxonomy.leaves if not covers[:, taxonomy.column[leaf]].any()]
    if lost:
        raise UserError(
            f"no member answers for the leaf '{lost[0]}'{f' and {len(lost) - 1} others' if len(lost) > 1 else ''}; "
            "add one that does, such as a member of the level of leaves"
        )
