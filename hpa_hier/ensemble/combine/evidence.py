"""Evidence: members that answer for groups speak to the leaves below, and leaves make up the groups above them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.combine.aggregate import Layout, MemberLogits
from hpa_hier.ensemble.combine.logistic_stack import LogisticStack
from hpa_hier.ensemble.combine.propagate import Graph, Propagated, bounded_logit, propagate
from hpa_hier.ensemble.combine.reconcile import Reconciler, lift
from hpa_hier.ensemble.combine.weighted_sum import combine
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.metrics.logistic import expit, logit
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

_MOST = 1.5  # largest share: more would say that the networks' errors are opposite
# Precision of the normal prior that holds the share near 0; its standard deviation is 0.1, about what is found on many
# samples (benchmarks/evidence.py): networks that were trained on the same images share most of their errors.
_PRECISION = 100.0
_TRIED = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, _MOST)  # shares between which the best one is looked for
_EXACT = 1e-6
_SMALLEST = 1e-15  # probability that is taken for none
_PARTS = ("leaves", "members")  # what the log-odds of a group are made of


@dataclass(frozen=True)
class Evidence(Reconciler):
    """Leaves hear the members that answer for groups above them; groups are made of their leaves and those members.

    What the members say of a group is evidence of `share` times their log-odds beyond the usual ones. The share is one
    number, fitted by the log loss of the leaves and held near 0, since much of what a group's members know is in the
    leaves already. A share of 0 leaves the leaves as they are, to the last bit. The log-odds of a group are a logistic
    stack of two: that any leaf below is present (a noisy-or, evidence included), and what its members say. Then every
    group is raised to its most likely child.
    """

    name: ClassVar[str] = "evidence"
    filling: ClassVar[str] = "the chance that any leaf below is present"

    graph: Graph
    share: float  # in [0, 1.5]
    usual: Floats  # (N,) log-odds of groups among the samples it was fitted on; 0 for leaves
    stack: LogisticStack  # weights (2, N) of `_PARTS` and offsets (N,) of groups; 0 for leaves

    @classmethod
    def fit(cls, probs: Floats, answered: Bools, targets: Targets, taxonomy: Taxonomy) -> Self:
        """Fit the share, then the groups' weights."""
        graph = Graph.from_taxonomy(taxonomy)
        usual, groups = np.zeros(probs.shape[1]), list(graph.groups)
        targets = Targets(targets.present, targets.known & (answered | graph.is_group))
        present, known = (targets.present & targets.known).sum(axis=0), targets.known.sum(axis=0)
        usual[groups] = logit((present + 0.5) / (known + 1))[groups]  # Jeffreys' prior: finite without any positive
        heard = graph.heard(answered, probs.shape)
        evidence = np.where(heard, bounded_logit(probs) - usual, 0.0)
        share = fit_share(probs, evidence, heard, targets, graph)
        parts = _parts(probs, heard, propagate(probs, share * evidence, heard, graph))
        covers = np.zeros((2, len(usual)), bool)
        covers[1] = heard.any(axis=0)
        # A group of one leaf that nobody answers for is that leaf.
        opened = np.array([taxonomy.node(node).open for node in taxonomy.nodes])
        covers[0] = covers[1] | graph.has_several_leaves | opened
        logits = MemberLogits(parts, covers, np.ones(parts.shape[:2], bool))
        stack = LogisticStack.fit(logits, targets, taxonomy, EnsembleSettings())
        weights = stack.shares.copy()
        weights[0, [group for group in groups if not covers[0, group]]] = 1.0
        return cls(graph, share, usual, LogisticStack(weights, stack.offset))

    def hear(self, probs: Floats, answered: Bools) -> tuple[Bools, Propagated]:
        """Return which groups there is evidence of, (B, N), and what it does."""
        heard = self.graph.heard(answered, probs.shape)
        evidence = np.where(heard, self.share * (bounded_logit(probs) - self.usual), 0.0)
        return heard, propagate(probs, evidence, heard, self.graph)

    def fill(self, probs: Floats, answered: Bools) -> Floats:
        """Return probabilities with the noisy-or of their leaves for groups that nobody answers for."""
        missing = np.broadcast_to(~answered, probs.shape) & self.graph.is_group
        if not missing.any():
            return probs
        nothing = np.zeros_like(probs)
        found = propagate(probs, nothing, nothing > 0, self.graph)
        return np.asarray(np.where(missing, expit(found.group_logits), probs))

    def apply(self, raw: Floats, answered: Bools) -> Floats:
        """Return probabilities with the evidence heard, coherent."""
        heard, found = self.hear(raw, answered)
        groups = expit(combine(_parts(raw, heard, found), self.stack.shares) + self.stack.offset)
        return lift(np.where(self.graph.is_group, groups, found.leaves(raw)), self.graph.order)

    def describe(self, raw: Floats, answered: Bools, taxonomy: Taxonomy, node: str) -> str:
        """Describe what one sample's leaf, raw (1, N), gained and from whom, or what a group's leaves say of it."""
        heard, found = self.hear(raw, answered)
        column = taxonomy.column
        if not taxonomy.is_leaf(node):
            return f"leaves say {expit(found.group_logits[0, column[node]]):.3f}" if heard[0, column[node]] else ""
        gain, above = found.shift[0, column[node]], [one for one in taxonomy.ancestors(node) if heard[0, column[one]]]
        said = (f"{one} {raw[0, column[one]]:.2f}, usually {expit(self.usual[column[one]]):.2f}" for one in above)
        return f"{gain:+.2f} log-odds by evidence ({'; '.join(said)})" if gain else ""

    def to_json(self, taxonomy: Taxonomy) -> dict[str, Any]:
        """Return share, usual log-odds, weights and offsets by names."""
        groups = {taxonomy.nodes[j]: float(self.usual[j]) for j in self.graph.groups}
        return {"share": self.share, "usual": groups} | self.stack.to_json(_layout(taxonomy))

    @classmethod
    def from_json(cls, kept: Mapping[str, Any], taxonomy: Taxonomy) -> Self:
        """Return the rule as it was fitted."""
        graph, usual = Graph.from_taxonomy(taxonomy), np.zeros(len(taxonomy.nodes))
        for group in graph.groups:
            usual[group] = float(kept["usual"][taxonomy.nodes[group]])
        return cls(graph, float(kept["share"]), usual, LogisticStack.from_json(kept, {}, _layout(taxonomy)))


def fit_share(probs: Floats, evidence: Floats, heard: Bools, targets: Targets, graph: Graph) -> float:
    """Return the share of the evidence, in [0, 1.5], that gives leaves the smallest log loss beside a prior towards 0.

    Args:
        probs: (B, N) of leaves.
        evidence: (B, N) of groups, whole.
        heard: (B, N) which groups there is evidence of.
        targets: (B, N).
        graph: of the taxonomy.
    """
    if not heard.any():
        return 0.0
    from scipy.optimize import minimize_scalar  # a fifth of a second to import, and only fitting needs it

    leaves = list(graph.leaves)
    known, present = targets.known[:, leaves], targets.present[:, leaves]

    def loss(share: float) -> float:
        found = propagate(probs, share * evidence, heard, graph).leaves(probs)[:, leaves]
        true = np.where(present, found, 1 - found)[known]
        return float(-np.log(np.maximum(true, _SMALLEST)).sum() + _PRECISION * share**2 / 2)

    losses = [loss(share) for share in _TRIED]
    best = int(np.argmin(losses))
    between = (_TRIED[max(best - 1, 0)], _TRIED[min(best + 1, len(_TRIED) - 1)])
    found = minimize_scalar(loss, bounds=between, method="bounded", options={"xatol": _EXACT})
    return float(found.x) if found.fun < min(losses) else _TRIED[best]


def _parts(probs: Floats, heard: Bools, found: Propagated) -> Floats:
    """Return, (2, B, N), the log-odds of groups by their leaves, and by their members or, where none answers, again."""
    return np.stack([found.group_logits, np.where(heard, bounded_logit(probs), found.group_logits)])


def _layout(taxonomy: Taxonomy) -> Layout:
    return Layout(_PARTS, np.ones((2, len(taxonomy.nodes)), bool), taxonomy)
