"""Prediction: a fitted ensemble applied to the members' scores, each sample on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit

from hpa_hier.ensemble.aggregate import combine, fill_from_children
from hpa_hier.ensemble.arrays import Bools, Floats
from hpa_hier.ensemble.calibrate import Calibration
from hpa_hier.ensemble.close import close, decide
from hpa_hier.ensemble.reconcile import Gate, gate, lift
from hpa_hier.ensemble.scores import Scores, aligned
from hpa_hier.ensemble.thresholds import Thresholds
from hpa_hier.errors import UserError
from hpa_hier.taxonomy import Taxonomy


@dataclass(frozen=True)
class Seat:
    """One member's place in an ensemble.

    Attributes:
        name: the member's name.
        calibration: for its nodes, called as the ensemble's taxonomy calls them.
        weights: (N,) its share in every node's sum, 0 where it does not answer.
        renamed: node names of the member that the taxonomy has since changed, old to new.
        digest: SHA-256 of the member's `member.json` when the ensemble was fitted; "" where it has none.
    """

    name: str
    calibration: Calibration
    weights: Floats
    renamed: dict[str, str] = field(default_factory=dict)
    digest: str = ""


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
    """

    ids: tuple[str, ...]
    nodes: tuple[str, ...]
    raw: Floats
    probs: Floats
    thresholds: Floats
    present: Bools


@dataclass(frozen=True)
class Ensemble:
    """Everything that turns members' scores into labels.

    Attributes:
        taxonomy: the label tree; all columns are as its nodes.
        seats: the members, by name.
        aggregate: the rule that the seats' weights came from.
        reconcile: lift, or gate and then lift.
        gates: top groups with their gamma; empty for lift.
        thresholds: one for every node.
        about: where it was fitted and how, as kept in its file.
    """

    taxonomy: Taxonomy
    seats: tuple[Seat, ...]
    aggregate: str
    reconcile: str
    gates: tuple[Gate, ...]
    thresholds: Thresholds
    about: dict[str, object] = field(default_factory=dict)

    def predict(self, members: Sequence[Scores]) -> Prediction:
        """Apply the ensemble to its members' scores.

        Nothing here looks at more than one sample at a time, and sums run in the order of the members' names, so a
        sample's result is the same to the last bit in any batch and any order.

        Args:
            members: the scores of all members of the ensemble, of the same samples, in any order.

        Raises:
            UserError: a member is missing, or scores other nodes than those it was fitted with.
        """
        scored = aligned(members, members[0].ids if members else None)
        raw = expit(combine(self.calibrated(scored), np.stack([seat.weights for seat in self.seats])))
        raw = fill_from_children(raw, self.answered, self.taxonomy.bottom_up)
        probs = reconcile(raw, self.gates, self.answered, self.taxonomy)
        present = close(decide(probs, self.thresholds.values), self.taxonomy.bottom_up)
        return Prediction(scored[0].ids, self.taxonomy.nodes, raw, probs, self.thresholds.values, present)

    def calibrated(self, scored: Sequence[Scores]) -> list[Floats]:
        """Return each seat's calibrated logits, (B, N), 0 where the member does not answer.

        Args:
            scored: aligned scores of exactly the ensemble's members, by name.
        """
        names, wanted = [scores.name for scores in scored], [seat.name for seat in self.seats]
        if names != wanted:
            raise UserError(f"this ensemble combines {', '.join(wanted)}; got scores of {', '.join(names)}")
        return [
            spread(seat.calibration, scores, self.taxonomy) for seat, scores in zip(self.seats, scored, strict=True)
        ]

    @property
    def answered(self) -> Bools:
        """Which nodes some member answers for, (N,)."""
        answered: Bools = np.any([seat.weights > 0 for seat in self.seats], axis=0)
        return answered


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


def reconcile(raw: Floats, gates: Sequence[Gate], answered: Bools, taxonomy: Taxonomy) -> Floats:
    """Make probabilities coherent: gate the leaves, where there are gates, and lift.

    Args:
        raw: (B, N) after aggregation, groups that nobody answers for filled from their children.
        gates: top groups with their gamma; empty for lift alone.
        answered: (N,); the other groups follow their gated children.
        taxonomy: the label tree.

    Returns:
        (B, N); no node more likely than a node above it.
    """
    order = taxonomy.bottom_up
    return lift(fill_from_children(gate(raw, gates), answered, order) if gates else raw, order)
