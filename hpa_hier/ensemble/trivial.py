"""Trivial baseline: the most frequent labels, the same for every sample; what does not beat it has learned nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.combine.reconcile import lift
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.taxonomy import Taxonomy


@dataclass(frozen=True)
class TrivialBaseline:
    """One answer for all samples, or, fitted out of fold, one for all samples of a fold."""

    taxonomy: Taxonomy  # the label tree; columns are as its nodes
    probs: Floats  # (N,) or (B, N): each node's prevalence; no node more likely than a node above it
    present: Bools  # (N,) or (B, N): the most frequent leaves, closed

    @classmethod
    def fit(cls, targets: Targets, taxonomy: Taxonomy) -> Self:
        r"""Choose the answer on samples that it will not be measured on.

        The labels are the k most frequent leaves, with the k that gives these samples the largest mean sample F1 (the
        fewest where several do): macro F1 would always take all leaves. A node's probability is its prevalence, as
        (positives + ½) / (known + 1), which is never 0: one image of a class without any here must not decide the log
        loss.

        Args:
            targets: of the calibration part, (B, N).
            taxonomy: the label tree.

        Source: (positives + ½) / (known + 1): Krichevsky & Trofimov, IEEE Transactions on Information Theory 1981.

        >>> taxonomy = Taxonomy.from_text("taxonomy: t\nlevels: {leaf: leaves}\ntree: {A: {label: 0}, B: {label: 1}}")
        >>> present = np.array([[True, True], [True, False], [True, False]])
        >>> trivial = TrivialBaseline.fit(Targets(present, np.ones_like(present)), taxonomy)
        >>> trivial.present, trivial.probs
        (array([ True, False]), array([0.875, 0.375]))
        """
        positives = (targets.present & targets.known).sum(axis=0)
        probs = lift(((positives + 0.5) / (targets.known.sum(axis=0) + 1))[None], taxonomy.bottom_up)[0]
        leaves = np.array([taxonomy.column[leaf] for leaf in taxonomy.leaves])
        order = leaves[np.argsort(-probs[leaves], kind="stable")]
        known = targets.known[:, order]
        true = targets.present[:, order] & known
        found, answered = true.cumsum(axis=1), known.cumsum(axis=1)  # (B, k): of the first k + 1 leaves
        whole = answered + true.sum(axis=1, keepdims=True)
        sample_f1 = np.where(whole == 0, 1, 2 * found / np.maximum(whole, 1))
        present = np.zeros(len(probs), bool)
        present[order[: int(sample_f1.sum(axis=0).argmax()) + 1]] = True
        return cls(taxonomy, probs, taxonomy.close(present[None])[0])

    @classmethod
    def fit_out_of_fold(cls, targets: Targets, fold: NDArray[np.intp], taxonomy: Taxonomy) -> Self:
        """Choose the answer for each fold on the samples of the others.

        Args:
            targets: of the samples that it is measured on, (B, N).
            fold: (B,) which fold a sample is in; at least two.
            taxonomy: the label tree.
        """
        probs, present = np.empty(targets.present.shape), np.empty(targets.present.shape, bool)
        for k in np.unique(fold):
            one = cls.fit(Targets(targets.present[fold != k], targets.known[fold != k]), taxonomy)
            probs[fold == k], present[fold == k] = one.probs, one.present
        return cls(taxonomy, probs, present)

    def join(self, samples: int, other: Self) -> Self:
        """Return one answer a sample: this one's for the first so many samples, then the other's own, (B, N)."""
        first = (np.broadcast_to(one, (samples, one.shape[-1])) for one in (self.probs, self.present))
        probs, present = (np.concatenate(pair) for pair in zip(first, (other.probs, other.present), strict=True))
        return replace(self, probs=probs, present=present)
