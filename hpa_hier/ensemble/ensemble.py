"""Prediction: a fitted ensemble applied to the members' scores, each sample on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit

from hpa_hier.ensemble.calibrate.platt import Calibration
from hpa_hier.ensemble.combine.aggregate import combine, fill_absent, fill_from_children
from hpa_hier.ensemble.combine.blend import BLEND, blend
from hpa_hier.ensemble.combine.factor import apply_factors
from hpa_hier.ensemble.combine.reconcile import Gate, chain, gate, lift, lower
from hpa_hier.ensemble.combine.rnn import Rnn
from hpa_hier.ensemble.decide.close import close, decide
from hpa_hier.ensemble.decide.safe import SafeAnswers, safe_answers
from hpa_hier.ensemble.decide.thresholds import Thresholds
from hpa_hier.ensemble.scores.scores import Scores, align
from hpa_hier.errors import UserError
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.taxonomy import Taxonomy


@dataclass(frozen=True)
class EnsembleMember:
    """One member's place in an ensemble.

    Attributes:
        name: the member's name.
        calibration: for its nodes, called as the ensemble's taxonomy calls them.
        weights: (N,) its share in every node's sum, 0 where it does not answer.
        renamed: node names of the member that the taxonomy has since changed, old to new.
        digest: SHA-256 of the member's `member.json` when the ensemble was fitted; "" where it has none.
        given: the node whose probability its answers are multiplied by; "" for none.
    """

    name: str
    calibration: Calibration
    weights: Floats
    renamed: dict[str, str] = field(default_factory=dict)
    digest: str = ""
    given: str = ""


@dataclass(frozen=True)
class Prediction:
    """What an ensemble says of samples; columns as `nodes`.

    Attributes:
        ids: B sample ids.
        nodes: N node names.
        raw: (B, N) probabilities after aggregation.
        probs: (B, N) after reconciliation; no node more likely than a node above it.
        thresholds: (N,).
        present: (B, N) closed decisions.
        safe: each sample's safe answers.
    """

    ids: tuple[str, ...]
    nodes: tuple[str, ...]
    raw: Floats
    probs: Floats
    thresholds: Floats
    present: Bools
    safe: SafeAnswers


@dataclass(frozen=True)
class Ensemble:
    """Everything that turns members' scores into labels.

    Attributes:
        taxonomy: the label tree; all columns are as its nodes.
        members: the members, by name.
        offset: (N,) added to every node's sum.
        aggregate: the rule that the members' weights came from.
        reconcile: lift, gate, chain or min.
        gates: top groups with their gamma; empty where the rule is not gate.
        thresholds: one for every node.
        safe: (N,) what a node's probability must reach to be a safe answer; infinite where none is.
        rnn: the network down the levels, which adds to the members' sums; None where the aggregate is another.
        about: where it was fitted and how, as kept in its file.
    """

    taxonomy: Taxonomy
    members: tuple[EnsembleMember, ...]
    offset: Floats
    aggregate: str
    reconcile: str
    gates: tuple[Gate, ...]
    thresholds: Thresholds
    safe: Floats
    rnn: Rnn | None = None
    about: dict[str, object] = field(default_factory=dict)

    def predict(self, members: Sequence[Scores], available: Bools | None = None) -> Prediction:
        """Apply the ensemble to its members' scores.

        Nothing here looks at more than one sample at a time, and sums run in the order of the members' names, so a
        sample's result is the same to the last bit in any batch and any order.

        Args:
            members: the scores of all members of the ensemble, of the same samples, in any order.
            available: (E, B) which member knows which sample, members by name; None: all know all. For the others, the
                rest of the members speak.

        Raises:
            UserError: a member is missing, or scores other nodes than those it was fitted with.
        """
        scored = align(members, members[0].ids if members else None)
        raw, probs = self.probabilities(self.calibrated(scored), available)
        present = close(decide(probs, self.thresholds.values), self.taxonomy.bottom_up)
        safe = safe_answers(probs, self.safe, self.taxonomy, present)
        return Prediction(scored[0].ids, self.taxonomy.nodes, raw, probs, self.thresholds.values, present, safe)

    def probabilities(self, logits: Sequence[Floats], available: Bools | None = None) -> tuple[Floats, Floats]:
        """Return probabilities (B, N) before and after reconciliation of calibrated logits, E arrays (B, N)."""
        answered = self.answered
        if available is not None:
            logits = list(fill_absent(np.stack(logits), self.covers, available))
            answered = np.asarray((available[:, :, None] & self.covers[:, None, :]).any(axis=0))
        raw = self._merged(logits)
        raw = fill_from_children(raw, answered, self.taxonomy.bottom_up)
        return raw, reconcile(raw, (self.reconcile, self.gates), answered, self.taxonomy)

    def _merged(self, logits: Sequence[Floats]) -> Floats:
        """Return the members' probabilities (B, N) of their E calibrated logits (B, N)."""
        weights = np.stack([member.weights for member in self.members])
        if self.aggregate == BLEND:
            return blend(logits, weights)
        total = combine(logits, weights) + self.offset
        probs: Floats = expit(self.rnn.add(logits, total) if self.rnn else total)
        return probs

    def calibrated(self, scored: Sequence[Scores]) -> list[Floats]:
        """Return each member's calibrated logits, (B, N), times their factor; 0 where the member does not answer.

        Args:
            scored: aligned scores of exactly the ensemble's members, by name.
        """
        names, wanted = [scores.name for scores in scored], [member.name for member in self.members]
        if names != wanted:
            raise UserError(f"this ensemble combines {', '.join(wanted)}; got scores of {', '.join(names)}")
        wide = [
            spread(member.calibration, scores, self.taxonomy)
            for member, scores in zip(self.members, scored, strict=True)
        ]
        column = self.taxonomy.column
        return apply_factors(
            wide, self.covers, [column[member.given] if member.given else None for member in self.members]
        )

    @property
    def answered(self) -> Bools:
        """Which nodes some member answers for, (N,)."""
        return np.asarray(self.covers.any(axis=0))

    @property
    def covers(self) -> Bools:
        """Which member answers for which node, (E, N)."""
        covers = np.zeros((len(self.members), len(self.taxonomy.nodes)), bool)
        for row, member in enumerate(self.members):
            covers[row, [self.taxonomy.column[node] for node in member.calibration.nodes]] = True
        return covers


def spread(calibration: Calibration, scores: Scores, taxonomy: Taxonomy) -> Floats:
    """Calibrate a member's logits and lay them out in the taxonomy's columns, (B, N), 0 elsewhere."""
    if scores.nodes != calibration.nodes:
        differing = sorted(set(scores.nodes) ^ set(calibration.nodes)) or list(scores.nodes)
        raise UserError(
            f"member '{scores.name}' scores other nodes than when the ensemble was fitted (such as '{differing[0]}'); "
            "fit the ensemble again"
        )
    wide = np.zeros((len(scores.ids), len(taxonomy.nodes)))
    wide[:, [taxonomy.column[node] for node in scores.nodes]] = calibration.apply(scores.logits)
    return wide


def reconcile(raw: Floats, rule: tuple[str, Sequence[Gate]], answered: Bools, taxonomy: Taxonomy) -> Floats:
    """Make probabilities coherent, and lift: no node more likely than a node above it.

    Args:
        raw: (B, N) after aggregation, groups that nobody answers for filled from their children.
        rule: lift, gate, chain or min; and top groups with their gamma for gate.
        answered: (N,) or (B, N); the other groups follow their children.
        taxonomy: the label tree.

    Returns:
        (B, N).
    """
    order, (name, gates) = taxonomy.bottom_up, rule
    if name == "lift":
        return lift(raw, order)
    changed = gate(raw, gates) if name == "gate" else (chain if name == "chain" else lower)(raw, answered, order)
    return lift(fill_from_children(changed, answered, order), order)
