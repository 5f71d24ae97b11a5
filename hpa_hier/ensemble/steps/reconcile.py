"""Reconciliation, and other frequencies of nodes, as steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hpa_hier.ensemble.calibrate.prior import PriorShift
from hpa_hier.ensemble.combine.evidence import Evidence
from hpa_hier.ensemble.combine.propagate import NEAREST, Graph
from hpa_hier.ensemble.combine.reconcile import Lift, Reconciler
from hpa_hier.ensemble.combine.softmax import LEAST, Softmax
from hpa_hier.ensemble.steps.steps import Value, add, join
from hpa_hier.errors import UserError
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.taxonomy import Taxonomy


def write_reconciled(rule: Reconciler, probs: Value, answered: Bools, taxonomy: Taxonomy) -> Value:
    """Write the coherent probabilities, (B, N), that a rule makes of an aggregate's.

    Args:
        rule: fitted.
        probs: (B, N).
        answered: (N,) which nodes some member answers for.
        taxonomy: the label tree; its nodes are the columns.

    Raises:
        UserError: the rule has no steps.
    """
    write = _RECONCILERS.get(type(rule).apply)
    if write is None:
        raise UserError(
            f"ensemble.reconcile: {rule.name} cannot be exported, as ensemble/steps/reconcile.py knows no steps of it"
        )
    return write(rule, probs, answered, taxonomy)


def write_prior(shift: PriorShift, probs: Value) -> Value:
    """Write the coherent probabilities, (B, N), of nodes that are more or less frequent than `probs` has them."""
    taxonomy = shift.taxonomy
    if not taxonomy.exclusive:
        return _move(probs, probs.steps.constant(shift.log_odds)).largest(list_below(taxonomy))
    leaves = [taxonomy.column[leaf] for leaf in taxonomy.leaves]
    return _share_out(probs.take(leaves) * (shift.new.shares / shift.fitted.shares)[leaves], 1.0, taxonomy)


def bounded_logit(probs: Value, nearest: float = NEAREST) -> Value:
    """Write the logits of probabilities, which come no nearer to 0 and 1 than `nearest`."""
    return probs.apply("maximum", nearest).apply("minimum", 1 - nearest).apply("logit")


def list_below(taxonomy: Taxonomy) -> list[list[int]]:
    """Return for each column the columns of its node and of all below it."""
    return [np.flatnonzero(taxonomy.closure[:, column]).tolist() for column in range(len(taxonomy.nodes))]


def _lift(rule: Reconciler, probs: Value, answered: Bools, taxonomy: Taxonomy) -> Value:
    """Write the largest of what is below; a group that nobody answers for has what is below it alone."""
    return probs.largest([[one for one in below if answered[one]] for below in list_below(taxonomy)])


def _softmax(rule: Reconciler, probs: Value, answered: Bools, taxonomy: Taxonomy) -> Value:
    assert isinstance(rule, Softmax)
    return _share_out(probs.take([taxonomy.column[leaf] for leaf in taxonomy.leaves]), rule.power, taxonomy)


def _share_out(leaves: Value, power: float, taxonomy: Taxonomy) -> Value:
    """Write leaves' shares of 1 in the ratio of powers, (B, L), and of each node the sum of its leaves, (B, N)."""
    every, place = [range(len(taxonomy.leaves))], {leaf: j for j, leaf in enumerate(taxonomy.leaves)}
    logs = leaves.apply("maximum", LEAST).apply("log") * power
    shares = (logs - logs.largest(every)).apply("exp")
    below = [[place[leaf] for leaf in taxonomy.leaves_below(node)] for node in taxonomy.nodes]
    return (shares / shares.total(every)).total(below).apply("minimum", 1.0)


def _evidence(rule: Reconciler, probs: Value, answered: Bools, taxonomy: Taxonomy) -> Value:
    assert isinstance(rule, Evidence)
    graph, leaves, groups = rule.graph, list(rule.graph.leaves), list(rule.graph.groups)
    told = {group: bounded_logit(probs.take([group])) for group in groups if answered[group]}
    evidence = {group: (one - rule.usual[group]) * rule.share for group, one in told.items() if rule.share != 0}
    found = _propagate(probs, evidence, {*told}, graph)
    columns: dict[int, Value] = {}
    for group in groups:
        by_leaves, by_members = found.logits[group], told.get(group, found.logits[group])
        first, second = rule.stack.shares[:, group]
        columns[group] = (by_leaves * first + by_members * second + rule.stack.offset[group]).apply("sigmoid")
    for leaf in leaves:
        own = probs.take([leaf])
        columns[leaf] = _move(own, found.shift[leaf]) if leaf in found.shift else own
    return join([columns[column] for column in sorted(columns)]).largest(list_below(taxonomy))


class _Found(NamedTuple):
    """What `propagate` finds, each (B, 1)."""

    shift: dict[int, Value]  # log-odds that a leaf gains, where it gains any
    logits: dict[int, Value]  # log-odds that any leaf below a group is present


def _propagate(probs: Value, evidence: Mapping[int, Value], heard: set[int], graph: Graph) -> _Found:
    """Write what `combine/propagate.py` computes; where there is no evidence, nothing is written."""
    leaves = list(graph.leaves)
    every = -(-probs.take(leaves).apply("minimum", 1 - NEAREST)).apply("log1p")
    absent = {leaf: every.take([place]) for place, leaf in enumerate(leaves)}
    added, below, logits = dict(absent), {}, {}
    for (group, children), inside in zip(graph.order, graph.below, strict=True):
        own = [added[one] for one in inside if one in added]
        most = join([join(own).total([range(len(own))]), *(absent[child] for child in children)])
        below[group] = most.largest([range(1 + len(children))]).apply("maximum", NEAREST)
        logits[group] = below[group] + (-(-below[group]).apply("expm1")).apply("log")
        absent[group] = below[group]
        if group in evidence:
            logits[group] = logits[group] + evidence[group]
            louder = logits[group].apply("logaddexp", 0.0)
            absent[group] = evidence[group].is_zero().choose(below[group], louder)
            added[group] = absent[group] - below[group]
    gains: dict[int, list[Value]] = {}
    speakers = dict.fromkeys((*leaves, *below), 0)
    for group, children in reversed(graph.order):
        shift = _mean(gains.get(group, []), speakers[group])
        heard_here = [one for one in (evidence.get(group), shift) if one is not None]
        for child in children:
            speakers[child] += group in heard or speakers[group] > 0
            if heard_here:
                gains.setdefault(child, []).append(_gain(add(heard_here), below[group], absent[child]))
        if shift is not None:
            logits[group] = logits[group] + shift
    shifts = {leaf: _mean(gains.get(leaf, []), speakers[leaf]) for leaf in leaves}
    return _Found({leaf: shift for leaf, shift in shifts.items() if shift is not None}, logits)


def _gain(whole: Value, below: Value, absent: Value) -> Value:
    """Write what a child gains by the whole of what its group hears."""
    siblings = (below - absent).apply("maximum", 0.0)
    alone = (-(-siblings).apply("expm1")).apply("log")
    return whole.is_zero().choose(0.0, -alone.apply("logaddexp", -siblings - whole))


def _mean(values: Sequence[Value], count: int) -> Value | None:
    return add(values) / float(max(count, 1)) if values else None


def _move(probs: Value, log_odds: Value) -> Value:
    """Write probabilities whose log-odds have gained something, as `combine/propagate.py: move_odds`."""
    return log_odds.is_zero().choose(probs, (probs.apply("logit") + log_odds).apply("sigmoid"))


_RECONCILERS: dict[Callable[..., Floats], Callable[[Reconciler, Value, Bools, Taxonomy], Value]] = {
    Lift.apply: _lift,
    Softmax.apply: _softmax,
    Evidence.apply: _evidence,
}
