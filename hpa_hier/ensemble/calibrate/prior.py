"""Prior: how often each node occurs among new samples, and the probabilities that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.combine.propagate import bounded_logit, move_odds
from hpa_hier.ensemble.combine.reconcile import lift
from hpa_hier.ensemble.combine.softmax import share_out, with_groups
from hpa_hier.metrics.arrays import Floats
from hpa_hier.taxonomy import Taxonomy

_NAMED = 3  # nodes whose share changes most, in a description


@dataclass(frozen=True)
class Prior:
    """How often each node occurs among some samples."""

    source: str  # where that is known from, for people
    shares: Floats  # (N,) in [0, 1], of the samples that carry the node; columns as taxonomy.nodes

    @classmethod
    def from_targets(cls, source: str, targets: Targets) -> Self:
        """Return the shares among annotated samples, Jeffreys' prior with them, so that none is 0 or 1.

        >>> both = np.array([[True, False], [True, False]])
        >>> Prior.from_targets("two", Targets(both, np.ones_like(both))).shares.round(2)
        array([0.83, 0.17])
        """
        return cls.from_counts(source, (targets.present & targets.known).sum(axis=0), targets.known.sum(axis=0))

    @classmethod
    def from_counts(cls, source: str, present: np.ndarray, samples: np.ndarray | int) -> Self:
        """Return the shares of counts (N,) of samples that carry each node, among `samples` whose answer is known."""
        return cls(source, np.asarray((present + 0.5) / (np.asarray(samples) + 1)))

    def fill_groups(self, fitted: Prior, taxonomy: Taxonomy) -> Prior:
        """Return the prior with shares of groups, where they are NaN, from those of their leaves.

        How much oftener a group occurs than where an ensemble was fitted is reckoned as if leaves occurred
        independently of each other, in both places.
        """
        shares = self.shares.copy()
        for group, _ in taxonomy.bottom_up:
            if np.isnan(shares[group]):
                below = [taxonomy.column[leaf] for leaf in taxonomy.leaves_below(taxonomy.nodes[group])]
                there, here = (1 - np.prod(1 - one[below]) for one in (self.shares, fitted.shares))
                gain = bounded_logit(np.array([there]))[0] - bounded_logit(np.array([here]))[0]
                shares[group] = max(move_odds(fitted.shares[[group]], gain)[0], shares[below].max())
        return Prior(self.source, shares)


@dataclass(frozen=True)
class PriorShift:
    """What becomes of probabilities where nodes are more or less frequent than where an ensemble was fitted.

    What an image looks like, given that it carries a node or not, is taken to be the same in both places; then the odds
    of each node change by the ratio of its odds there and here, and where the taxonomy is exclusive the leaves' by the
    ratio of their shares. Groups are raised to their children again, so that answers stay coherent.

    Source: Saerens, Latinne & Decaestecker, Adjusting the outputs of a classifier to new a priori probabilities, Neural
    Computation 2002; per node, as several may be present.
    """

    taxonomy: Taxonomy
    fitted: Prior
    new: Prior

    @property
    def log_odds(self) -> Floats:
        """What each node's log-odds gain, (N,)."""
        return np.asarray(bounded_logit(self.new.shares) - bounded_logit(self.fitted.shares))

    def apply(self, probs: Floats) -> Floats:
        """Return coherent probabilities (B, N) of coherent ones, each row on its own.

        >>> tree = Taxonomy.from_text("{taxonomy: t, levels: {leaf: leaves}, tree: {A: {label: 1}, B: {label: 2}}}")
        >>> shift = PriorShift(tree, Prior("here", np.array([0.5, 0.5])), Prior("there", np.array([0.2, 0.5])))
        >>> shift.apply(np.array([[0.8, 0.3]])).round(3)
        array([[0.5, 0.3]])
        """
        if self.taxonomy.exclusive:
            leaves, moved = [self.taxonomy.column[leaf] for leaf in self.taxonomy.leaves], probs.copy()
            moved[:, leaves] = share_out(probs[:, leaves] * (self.new.shares / self.fitted.shares)[leaves], 1.0)
            return with_groups(moved, self.taxonomy)
        return lift(move_odds(probs, self.log_odds), self.taxonomy.bottom_up)

    def describe(self) -> str:
        """Say which prior holds, and whose share changes most."""
        leaves = [leaf for leaf in self.taxonomy.leaves if leaf not in self.taxonomy.virtual]
        gain = {leaf: self.log_odds[self.taxonomy.column[leaf]] for leaf in leaves}
        named = sorted(leaves, key=lambda leaf: -abs(gain[leaf]))[:_NAMED]
        shares = [
            f"{leaf} {_percent(self.new.shares[j])} (where it was fitted {_percent(self.fitted.shares[j])})"
            for leaf, j in ((leaf, self.taxonomy.column[leaf]) for leaf in named)
        ]
        return f"{self.note}; the largest changes: {', '.join(shares)}"

    @property
    def note(self) -> str:
        """What to bear in mind, in short."""
        return f"classes are taken to be as frequent as among {self.new.source}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
