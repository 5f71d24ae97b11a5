"""Decision: from probabilities to labels that never contradict the tree, and to safe answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.decide.rule import ThresholdOptions
from hpa_hier.ensemble.decide.safe import SafeAnswers, SafeRule
from hpa_hier.ensemble.decide.threshold_rules import THRESHOLDS
from hpa_hier.ensemble.decide.thresholds import HALF, NEVER, Thresholds, fit_thresholds
from hpa_hier.ensemble.decide.told_apart import find_told_apart, ranking_p_values
from hpa_hier.ensemble.rules import choose
from hpa_hier.errors import UserError
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

Units = NDArray[np.int64]


@dataclass(frozen=True)
class Decision:
    """Thresholds, closure under the tree (the true-path rule), and safe answers; each sample on its own."""

    taxonomy: Taxonomy  # the label tree; all columns are as its nodes
    thresholds: Thresholds  # one for every node
    safe: SafeRule  # which of what is present is the safe answer

    @classmethod
    def fit(
        cls,
        probs: Floats,
        targets: Targets,
        taxonomy: Taxonomy,
        settings: EnsembleSettings,
        units: Units | None = None,
        fold: NDArray[np.intp] | None = None,
        learned: Bools | None = None,
        trusted: Bools | None = None,
    ) -> Self:
        """Fit on probabilities that were not fitted on the same samples.

        Args:
            probs: (B, N) reconciled.
            targets: (B, N).
            taxonomy: the label tree.
            settings: the rule, its options, and the precision of safe answers.
            units: (B,) numbers of what is resampled whole for thresholds' intervals; None: each sample alone.
            fold: (B,) which fit a sample's probabilities are from; None: all are from one.
            learned: (N,) which nodes had positives where the members were trained; None: unknown, and they are trusted.
            trusted: (N,) which nodes are known to be told apart, from other samples; None: none.

        Raises:
            UserError: a rule is unknown, or a threshold set by hand is for no node or without effect.
        """
        if taxonomy.exclusive and settings.hand_thresholds:
            problem = f"ensemble.hand_thresholds: without effect, since '{taxonomy.name}' is exclusive"
            raise UserError(f"{problem} and its likeliest leaf is called; remove them")
        level = tuple(0 if taxonomy.is_leaf(node) else taxonomy.depth(node) for node in taxonomy.nodes)
        options = ThresholdOptions(settings.fixed_threshold, settings.small_class_positives, settings.bootstrap, level)
        rule = choose(THRESHOLDS, settings.thresholds, "thresholds")
        fitted = fit_thresholds(rule, taxonomy.nodes, probs, targets, options, units)
        told_apart = find_told_apart(ranking_p_values(probs, targets, fold))
        if trusted is not None:
            told_apart |= trusted
        thresholds = fitted.raise_where_unfounded(told_apart, learned).set_by_hand(settings.hand_thresholds)
        decision = cls(taxonomy, thresholds, SafeRule(np.full(len(taxonomy.nodes), np.inf)))
        present = decision.call(probs)
        return replace(decision, safe=SafeRule.fit(probs, targets, present, taxonomy, settings.safe_precision))

    def decide(self, probs: Floats) -> tuple[Bools, SafeAnswers]:
        """Decide for probabilities (B, N): labels, closed under the tree under any thresholds, and safe answers."""
        present = self.call(probs)
        return present, self.safe.answer(probs, present, self.taxonomy)

    def call(self, probs: Floats) -> Bools:
        """Call nodes present, (B, N): those that reach their thresholds, and all above.

        Nothing is present in a sample in which only nodes that are not told apart reach theirs. Where the taxonomy is
        exclusive, the likeliest leaf takes the place of what reaches a threshold.
        """
        if self.taxonomy.exclusive:
            return self._call_likeliest(probs)
        reached = self.thresholds.apply(probs)
        if self.thresholds.doubtful.any():
            founded = reached & ~self.thresholds.doubtful
            founded[:, [self.taxonomy.column[node] for node in self.taxonomy.virtual]] = False
            reached &= founded.any(axis=1, keepdims=True)
        return self.taxonomy.close(reached)

    def _call_likeliest(self, probs: Floats) -> Bools:
        """Call each sample's likeliest leaf and all above, (B, N), unless none of them is told apart."""
        founded = ~self.thresholds.doubtful & ~self.thresholds.never
        founded[[self.taxonomy.column[node] for node in self.taxonomy.virtual]] = False
        leaves = np.array([self.taxonomy.column[leaf] for leaf in self.taxonomy.leaves])
        leaves = leaves[~self.thresholds.never[leaves]]
        if not len(leaves):
            return np.zeros(probs.shape, bool)
        present: Bools = self.taxonomy.closure[leaves[np.argmax(probs[:, leaves], axis=1)]]
        return present & (present & founded).any(axis=1, keepdims=True)

    def describe(self) -> str:
        """Describe in one sentence how many leaves are told apart; "" where all are."""
        rules = dict(zip(self.thresholds.nodes, self.thresholds.rules, strict=True))
        leaves = [rules[leaf] for leaf in self.taxonomy.leaves]
        unseen, doubtful = leaves.count(NEVER), leaves.count(HALF)
        notes = (
            [f"{unseen} had no positive to learn from and {'is' if unseen == 1 else 'are'} never called"]
            if unseen
            else []
        )
        if doubtful:
            verb = "is" if doubtful == 1 else "are"
            called = "" if self.taxonomy.exclusive else " and called only above 0.5"
            notes.append(f"{doubtful} {verb} ranked no better than by chance{called}")
        told = f"{len(leaves) - unseen - doubtful} of {len(leaves)} classes are told apart"
        return f"{told}: {'; '.join(notes)}" if notes else ""
