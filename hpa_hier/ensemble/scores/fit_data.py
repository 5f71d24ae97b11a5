"""Fit data: members' scores and the truth, in one order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from hpa_hier.ensemble.scores.scores import Scores, Truth, align
from hpa_hier.metrics.arrays import Bools


@dataclass(frozen=True)
class FitData:
    """What an ensemble is fitted on; rows of all parts belong together."""

    members: tuple[Scores, ...]  # E members' scores of the same B samples, by name
    available: Bools  # (E, B) which member scored which sample
    truth: Truth  # targets of these samples
    units: tuple[str, ...]  # B names of what must not be split between folds; "" is alone
    learned: Bools | None = None  # (N,) which nodes the members were trained to see; None: unknown, they are trusted

    def rows(self, chosen: Bools) -> FitData:
        """Return these samples alone; chosen is (B,)."""
        ids, units = tuple(compress(self.truth.ids, chosen)), tuple(compress(self.units, chosen))
        members = tuple(replace(scores, ids=ids, logits=scores.logits[chosen]) for scores in self.members)
        truth = Truth(ids, self.truth.present[chosen], self.truth.known[chosen])
        return replace(self, members=members, available=self.available[:, chosen], truth=truth, units=units)

    def without_factors(self) -> FitData:
        """Take what members answer as it is, also where they saw one node's images only."""
        return replace(self, members=tuple(replace(scores, given="") for scores in self.members))


def fit_data(
    members: Sequence[Scores],
    truth: Truth,
    available: Bools | None = None,
    units: Sequence[str] | None = None,
    learned: Bools | None = None,
) -> FitData:
    """Put samples into the order of their ids and members into that of their names, so that sums do not depend on it.

    Args:
        members: E members' scores of the same samples, in any order.
        truth: targets of at least these samples.
        available: (E, B) which member scored which sample, rows as `members`, columns as the first member's ids; None:
            all scored all.
        units: for each of truth's samples, what it belongs to, as its antibody; None: each is alone.
        learned: (N,) which nodes had positives where the members were trained; None: unknown, and they are trusted.
    """
    ids = sorted(members[0].ids) if members else []
    scored, known = align(members, ids), np.ones((len(members), len(ids)), bool)
    if available is not None:
        names, place = [one.name for one in members], {sample: i for i, sample in enumerate(members[0].ids)}
        order = [names.index(scores.name) for scores in scored]
        known = available[order][:, [place[sample] for sample in ids]]
    unit = dict(zip(truth.ids, units, strict=True)) if units else {}
    return FitData(scored, known, truth.take(ids), tuple(unit.get(sample, "") for sample in ids), learned)
