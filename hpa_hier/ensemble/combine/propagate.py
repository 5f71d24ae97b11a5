"""Propagation: what evidence about groups says of the leaves below them and of the groups above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from hpa_hier.metrics.arrays import Bools, Floats, Order
from hpa_hier.metrics.logistic import expit, logit
from hpa_hier.taxonomy import Taxonomy

NEAREST = 2.0**-53  # how near to 0 and 1 a probability is taken to be: its logit is then within ±36.7


@dataclass(frozen=True)
class Graph:
    """Which columns are leaves, and what is below each group."""

    order: Order  # (group, children), deepest group first, as taxonomy.bottom_up
    leaves: tuple[int, ...]
    below: tuple[tuple[int, ...], ...]  # for each group of `order`, all nodes below it, each once

    @classmethod
    def from_taxonomy(cls, taxonomy: Taxonomy) -> Self:
        """Return a taxonomy's graph."""
        below = [np.flatnonzero(taxonomy.closure[:, group]).tolist() for group, _ in taxonomy.bottom_up]
        without = (tuple(j for j in found if j != g) for found, (g, _) in zip(below, taxonomy.bottom_up, strict=True))
        return cls(taxonomy.bottom_up, tuple(taxonomy.column[leaf] for leaf in taxonomy.leaves), tuple(without))

    @cached_property
    def groups(self) -> tuple[int, ...]:
        """The groups' columns, deepest first."""
        return tuple(group for group, _ in self.order)

    @cached_property
    def is_group(self) -> Bools:
        """(N,) which columns are groups."""
        return np.isin(np.arange(len(self.order) + len(self.leaves)), self.groups)

    @cached_property
    def has_several_leaves(self) -> Bools:
        """(N,) which columns are groups with more than one leaf below."""
        several = np.zeros(len(self.is_group), bool)
        several[list(self.groups)] = [sum(not self.is_group[j] for j in inside) > 1 for inside in self.below]
        return several

    def heard(self, answered: Bools, shape: tuple[int, ...]) -> Bools:
        """Return which groups members answer for, (B, N), of all nodes that they do, (N,) or (B, N)."""
        return np.asarray(np.broadcast_to(answered, shape) & self.is_group)


@dataclass(frozen=True)
class Propagated:
    """What becomes of probabilities when groups' evidence is heard."""

    shift: Floats  # (B, N) log-odds that a leaf gains; 0 for groups
    group_logits: Floats  # (B, N) log-odds that any leaf below a group is present; 0 for leaves

    def leaves(self, probs: Floats) -> Floats:
        """Return leaf probabilities, `probs` moved by the shift; bit-identical where it is 0, and so are 0 and 1."""
        return move_odds(probs, self.shift)


def propagate(probs: Floats, evidence: Floats, heard: Bools, graph: Graph) -> Propagated:
    """Combine leaves' probabilities with evidence about groups, by Bayes.

    Leaves are taken to be independent but for the evidence: a set y of leaves has the weight of the product over leaves
    of p^y (1 - p)^(1 - y), times exp(evidence) for every group that has a leaf of y below it. On a tree what is
    returned is the exact marginal of every node, found in one pass up and one down (sum-product):

    - up: the log-odds of a group are log(exp(sum over what is below it of -log(1 - p)) - 1) + evidence, a noisy-or;
    - down: a child whose siblings explain the group with probability pi gains -log(pi + (1 - pi) exp(-e)), e being the
      evidence for the group and what the group itself gains from above. A leaf hears all of its ancestors so, each
      through the group between them.

    Where a node has several parents, it gains the mean over those that have something to say: what overlapping groups
    say is not independent, and the mean counts no evidence twice. In a noisy-or every leaf counts once.

    Args:
        probs: (B, N) in [0, 1]; only leaves are read.
        evidence: (B, N) log-likelihood ratio of each group, finite; 0 where there is none. Leaves' must be 0.
        heard: (B, N) which groups there is evidence of.
        graph: of the taxonomy.

    Returns:
        Gains and groups' log-odds, each row on its own. Evidence of 0 gives gains of exactly 0.

    Source: the sum-product algorithm, Kschischang, Frey & Loeliger, 2001; noisy-or, Pearl, 1988.

    >>> graph = Graph(((0, (1, 2)),), (1, 2), ((1, 2),))
    >>> evidence, heard = np.array([[np.log(3), 0.0, 0.0]]), np.array([[True, False, False]])
    >>> probs = np.array([[0.0, 0.5, 0.5]])
    >>> found = propagate(probs, evidence, heard, graph)
    >>> found.leaves(probs)[:, 1:].round(2), expit(found.group_logits)[:, :1].round(2)  # 6/10 and 9/10
    (array([[0.6, 0.6]]), array([[0.9]]))
    """
    # (N, B): nodes one after another, samples side by side. Sums run node by node, so that a row does not depend on
    # how many there are.
    e, says = np.ascontiguousarray(evidence.T), np.array(heard.T, order="C")
    absent = np.zeros_like(e)  # -log of the probability that a node is absent, by what is below it and its own evidence
    leaves = list(graph.leaves)
    absent[leaves] = -np.log1p(-np.minimum(probs[:, leaves].T, 1 - NEAREST))
    below, logits = _climb(absent, e, graph)
    shift, speakers = np.zeros_like(e), np.zeros_like(e)
    for group, children in reversed(graph.order):
        shift[group] /= np.maximum(speakers[group], 1)
        says[group] |= speakers[group] > 0
        whole = e[group] + shift[group]
        for child in children:
            siblings = np.maximum(below[group] - absent[child], 0)
            with np.errstate(divide="ignore"):  # the logarithm of 0 where there are no siblings
                gain = -np.logaddexp(np.log(-np.expm1(-siblings)), -siblings - whole)
            shift[child] += np.where(whole == 0, 0.0, gain)
            speakers[child] += says[group]
        logits[group] += shift[group]
    shift[leaves] /= np.maximum(speakers[leaves], 1)
    shift[list(graph.groups)] = 0.0
    return Propagated(np.ascontiguousarray(shift.T), np.ascontiguousarray(logits.T))


def _climb(absent: Floats, evidence: Floats, graph: Graph) -> tuple[Floats, Floats]:
    """Fill `absent` (N, B) for groups, and return what is below them (its sum) and their log-odds with their evidence.

    A group's evidence is counted by what it adds to the sum over its leaves, so that a leaf that two groups share
    counts once in a group above both.
    """
    below, added, logits = absent.copy(), absent.copy(), np.zeros_like(absent)
    for (group, children), inside in zip(graph.order, graph.below, strict=True):
        below[group] = _add_up(added, inside)
        for child in children:  # a group is at least as likely as a child of it
            below[group] = np.maximum(below[group], absent[child])
        below[group] = np.maximum(below[group], NEAREST)
        logits[group] = below[group] + np.log(-np.expm1(-below[group])) + evidence[group]
        absent[group] = np.where(evidence[group] == 0, below[group], np.logaddexp(0.0, logits[group]))
        added[group] = absent[group] - below[group]
    return below, logits


def _add_up(rows: Floats, chosen: Sequence[int]) -> Floats:
    total = np.zeros(rows.shape[1])
    for row in chosen:
        total += rows[row]
    return total


def move_odds(probs: Floats, log_odds: Floats) -> Floats:
    """Return probabilities whose log-odds have gained something; bit-identical where that is 0, and so are 0 and 1.

    `probs` and `log_odds` are of shapes that go together.

    >>> move_odds(np.array([0.5, 0.2, 1.0]), np.array([np.log(3), 0.0, 1.0])).tolist()
    [0.75, 0.2, 1.0]
    """
    with np.errstate(divide="ignore"):  # the logit of 0 or 1 is infinite, and stays where it is
        moved = expit(logit(probs) + log_odds)
    return np.asarray(np.where(log_odds == 0, probs, moved))


def bounded_logit(probs: Floats) -> Floats:
    """Return the logits of probabilities, those of 0 and 1 being ±36.7.

    >>> bounded_logit(np.array([0.0, 0.5, 1.0])).round(1)
    array([-36.7,   0. ,  36.7])
    """
    return np.asarray(logit(np.clip(probs, NEAREST, 1 - NEAREST)))
