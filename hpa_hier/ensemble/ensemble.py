"""Ensemble: a fitted combiner and decision, applied to the members' scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hpa_hier.ensemble.calibrate.prior import Prior, PriorShift
from hpa_hier.ensemble.combiner import Combiner
from hpa_hier.ensemble.decide.safe import SafeAnswers
from hpa_hier.ensemble.decide.thresholds import Thresholds
from hpa_hier.ensemble.decision import Decision
from hpa_hier.ensemble.novelty.novelty import Novelty
from hpa_hier.ensemble.scores.scores import Scores
from hpa_hier.errors import UserError
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.taxonomy import Taxonomy

_BY_SAMPLE = ("raw", "probs", "present")  # arrays of a prediction whose rows are samples


@dataclass(frozen=True)
class EnsembleMember:
    """Which member an ensemble combines."""

    name: str  # the member's name
    # node names of the member that the taxonomy has since changed, old to new
    renamed: dict[str, str] = field(default_factory=dict)
    digest: str = ""  # SHA-256 of the member's `member.json` when the ensemble was fitted; "" where it has none


@dataclass(frozen=True)
class Prediction:
    """What an ensemble says of samples; columns as `nodes`."""

    ids: tuple[str, ...]  # B sample ids
    nodes: tuple[str, ...]  # N node names
    raw: Floats  # (B, N) probabilities after aggregation
    probs: Floats  # (B, N) after reconciliation; no node more likely than a node above it
    thresholds: Floats  # (N,)
    present: Bools  # (B, N) closed decisions
    safe: SafeAnswers  # each sample's safe answers

    def take(self, ids: Sequence[str]) -> Prediction:
        """Return the rows of these samples, in this order."""
        row = {sample: i for i, sample in enumerate(self.ids)}
        rows = [row[sample] for sample in ids]
        safe = SafeAnswers(self.safe.column[rows], self.safe.confidence[rows])
        arrays: dict[str, Any] = {name: getattr(self, name)[rows] for name in _BY_SAMPLE}
        return replace(self, ids=tuple(ids), safe=safe, **arrays)

    @classmethod
    def join(cls, parts: Sequence[Prediction]) -> Prediction:
        """Put predictions of different samples together, in order, with the thresholds of the first."""
        arrays: dict[str, Any] = {name: np.concatenate([getattr(one, name) for one in parts]) for name in _BY_SAMPLE}
        safe = SafeAnswers(
            np.concatenate([one.safe.column for one in parts]), np.concatenate([one.safe.confidence for one in parts])
        )
        return replace(parts[0], ids=tuple(sample for one in parts for sample in one.ids), safe=safe, **arrays)


@dataclass(frozen=True)
class Ensemble:
    """Everything that turns members' scores into labels."""

    taxonomy: Taxonomy  # the label tree; all columns are as its nodes
    members: tuple[EnsembleMember, ...]  # by name
    combiner: Combiner  # from scores to probabilities
    decision: Decision  # from probabilities to labels
    about: dict[str, Any] = field(default_factory=dict)  # where it was fitted and how, as kept in its file
    novelty: Novelty | None = None  # how far a sample is from what its members learned from; None: not known
    prior: PriorShift | None = (
        None  # nodes are as frequent as elsewhere; None: as where it was fitted. No file keeps it
    )

    @property
    def aggregate(self) -> str:
        """Name of the rule that combines the members."""
        return self.combiner.aggregate.name

    @property
    def reconcile(self) -> str:
        """Name of the rule that makes probabilities coherent."""
        return self.combiner.reconciler.name

    @property
    def thresholds(self) -> Thresholds:
        """One for every node."""
        return self.decision.thresholds

    def with_prior(self, prior: Prior) -> Ensemble:
        """Return the ensemble for samples among which nodes are as frequent as `prior` says.

        Probabilities follow from the new shares. Fitted thresholds move with them, so that a node's calls change only
        where a group is raised to its children; those of safe answers stay, as they ask for a share of right answers.

        Raises:
            UserError: it is not known how many samples it was fitted on.
        """
        samples, thresholds = int(self.about.get("samples") or 0), self.thresholds
        if not samples:
            raise UserError("--prior: the ensemble does not say how many samples it was fitted on; fit it again")
        fitted = Prior.from_counts("the samples that it was fitted on", thresholds.positives, samples)
        shift = PriorShift(self.taxonomy, fitted, prior.fill_groups(fitted, self.taxonomy))
        moved = replace(self.decision, thresholds=thresholds.move(shift.log_odds))
        return replace(self, decision=moved, prior=shift)

    def predict(self, members: Sequence[Scores], available: Bools | None = None) -> Prediction:
        """Predict samples, each on its own: a row's answer does not depend on the others.

        Args:
            members: the scores of all members of the ensemble, of the same samples, in any order.
            available: (E, B) which member scored which sample, members by name; None: all scored all. For the others,
                the rest of the members speak.

        Raises:
            UserError: a member is missing, or scores other nodes than those it was fitted with.
        """
        raw, probs = self.combiner.probs(members, available)
        if self.prior is not None:
            probs = self.prior.apply(probs)
        present, safe = self.decision.decide(probs)
        return Prediction(members[0].ids, self.taxonomy.nodes, raw, probs, self.thresholds.values, present, safe)
