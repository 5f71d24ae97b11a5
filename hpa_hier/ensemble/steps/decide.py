"""Thresholds, closure and safe answers as steps."""

from __future__ import annotations

import numpy as np

from hpa_hier.ensemble.decide.safe import REACHING, SafeRule, columns_by_depth
from hpa_hier.ensemble.decision import Decision
from hpa_hier.ensemble.steps.reconcile import list_below
from hpa_hier.ensemble.steps.steps import Value
from hpa_hier.taxonomy import Taxonomy

_NEVER = 2.0  # as a threshold of probabilities, in the place of infinity, which JSON does not hold


def write_present(decision: Decision, probs: Value) -> Value:
    """Write the closed decisions, (B, N) bool, as `Decision.call` makes them of probabilities (B, N)."""
    taxonomy, thresholds = decision.taxonomy, decision.thresholds
    every = [range(len(taxonomy.nodes))]
    founded = ~thresholds.doubtful & np.array([node not in taxonomy.virtual for node in taxonomy.nodes])
    if taxonomy.exclusive:
        leaves = [j for j in map(taxonomy.column.__getitem__, taxonomy.leaves) if not thresholds.never[j]]
        if not leaves:
            return probs.apply("greater_equal", _NEVER)
        likeliest = probs.take(leaves).best().row(taxonomy.closure[leaves])
        told_apart: Value = likeliest & (founded & ~thresholds.never)
        return likeliest & told_apart.largest(every)
    reached: Value = probs >= thresholds.values
    if thresholds.doubtful.any():
        reached = reached & (reached & founded).largest(every)
    return reached.largest(list_below(taxonomy))


def write_safe(rule: SafeRule, probs: Value, present: Value, taxonomy: Taxonomy) -> Value:
    """Write each sample's safe answer, (B, 1): its column, -1 for unsure, as `SafeRule.answer` finds it."""
    thresholds = np.minimum(rule.thresholds, _NEVER)
    offered = present & (probs >= thresholds) if rule.candidate == REACHING else present
    answer: Value | None = None
    for columns in reversed(list(columns_by_depth(taxonomy))):  # from the top: a deeper answer takes its place
        own = columns.tolist()
        shown = offered.take(own).choose(probs.take(own), -1.0)
        best, sure = shown.best(), shown.largest([range(len(own))])
        safe = (sure >= 0.0) & (sure >= best.row(thresholds[columns, None]))
        answer = safe.choose(best.row(columns[:, None]), -1 if answer is None else answer)
    assert answer is not None
    return answer
