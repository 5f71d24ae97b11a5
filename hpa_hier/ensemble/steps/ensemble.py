"""An ensemble as steps: from members' logits to probabilities, decisions and safe answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpa_hier.ensemble.decide.safe import UNSURE
from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.ensemble.scores.score_table import NEAREST_TO_SURE
from hpa_hier.ensemble.steps.aggregate import write_aggregate
from hpa_hier.ensemble.steps.calibrate import write_calibrated
from hpa_hier.ensemble.steps.decide import write_present, write_safe
from hpa_hier.ensemble.steps.reconcile import bounded_logit, write_prior, write_reconciled
from hpa_hier.ensemble.steps.steps import Steps


@dataclass(frozen=True)
class Combination:
    """What makes answers of logits.

    Attributes:
        members: name of a member → what it answers for: the columns of its logits.
        nodes: K names of what can be an answer: columns of `probs` and `present`.
        leaves: (K,) which of them are leaves.
        steps: operations, each as [name, numbers of earlier steps, further arguments].
        outputs: name of an answer → the step that gives it: `probs` (B, K), `present` (B, K) bool and `safe` (B, 1), a
            name of `nodes` or `unsure`.
    """

    members: Mapping[str, tuple[str, ...]]
    nodes: tuple[str, ...]
    leaves: tuple[bool, ...]
    steps: list[list[Any]]
    outputs: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return what predict/export/reader.py reads."""
        labels, groups = list(self.leaves), [not leaf for leaf in self.leaves]
        names = {"members": {name: list(nodes) for name, nodes in self.members.items()}, "nodes": list(self.nodes)}
        return names | {"labels": labels, "groups": groups, "outputs": dict(self.outputs), "steps": self.steps}


def write_ensemble(ensemble: Ensemble, safe_answers: bool = True) -> Combination:
    """Write all that an ensemble does with its members' logits as steps; all members have to score all samples.

    Args:
        ensemble: fitted; where it was fitted on tables of probabilities, these are read instead of logits.
        safe_answers: whether there are any.

    Raises:
        UserError: it holds a rule that has no steps.
    """
    taxonomy, combiner, steps = ensemble.taxonomy, ensemble.combiner, Steps()
    given = {name: steps.member(name) for name in combiner.calibrations}
    if ensemble.about.get("score_kind") == "probs":
        given = {name: bounded_logit(probs, NEAREST_TO_SURE) for name, probs in given.items()}
    logits = write_calibrated(given, combiner.calibrations, combiner.factors)
    columns = [[taxonomy.column[node] for node in rule.nodes] for rule in combiner.calibrations.values()]
    answered = np.asarray(combiner.layout.covers.any(axis=0))
    probs = write_reconciled(
        combiner.reconciler, write_aggregate(combiner.aggregate, logits, columns), answered, taxonomy
    )
    if ensemble.prior is not None:
        probs = write_prior(ensemble.prior, probs)
    present = write_present(ensemble.decision, probs)
    safe = write_safe(ensemble.decision.safe, probs, present, taxonomy) if safe_answers else None
    names = [[node] for node in (*taxonomy.nodes, UNSURE)]  # the last one is that of -1
    nodes = taxonomy.without_virtual.nodes
    shown = [taxonomy.column[node] for node in nodes]
    outputs = {"probs": probs.take(shown), "present": present.take(shown)} | ({"safe": safe.row(names)} if safe else {})
    return Combination(
        {name: rule.nodes for name, rule in combiner.calibrations.items()},
        nodes,
        tuple(map(taxonomy.is_leaf, nodes)),
        steps.written,
        {name: value.number for name, value in outputs.items()},
    )
