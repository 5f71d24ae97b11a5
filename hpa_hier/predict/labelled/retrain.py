"""Retraining: a member's answers moved to fit a few labelled samples, held near to what they were."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.logistic import LogisticProblem, NormalPrior, solve
from hpa_hier.metrics.arrays import Bools, Floats

_DIRECTIONS = 32  # of the features, those along which labelled samples vary most
_FLATTEST = 0.05  # slope
_RARE = 12.0  # positives at which a node's weights may move half as far as those of a node with many
_SLOPE = 1.0  # precision of the prior of a member's slope and offset, around 1 and 0


@dataclass(frozen=True)
class MemberAnswers:
    """What a member says of B labelled samples."""

    name: str
    nodes: tuple[str, ...]  # n, called as in the tree that is adapted to
    logits: Floats  # (B, n); 0 for nodes that it does not know
    knows: Bools  # (n,) which nodes it answered for
    features: Floats | None  # (B, F) what its head sees; None: it cannot be retrained
    given: str = ""  # the node that every image of its training carried

    def rows(self, chosen: Bools) -> MemberAnswers:
        """Return the answers for some of the samples; chosen is (B,)."""
        features = None if self.features is None else self.features[chosen]
        return MemberAnswers(self.name, self.nodes, self.logits[chosen], self.knows, features, self.given)


@dataclass(frozen=True, order=True)
class Strength:
    """How strongly a member is held to what it was: precisions, each a count of logistic observations."""

    offset: float  # of each node's own offset
    weights: float  # of each node's weights of features; inf: the head stays as it is

    @property
    def retrains(self) -> bool:
        """Whether heads are retrained."""
        return math.isfinite(self.weights)


@dataclass(frozen=True)
class Retrained:
    """A member's new answers: slope * (logits + features @ weights.T) + offset."""

    slope: float
    offset: Floats  # (n,)
    weights: Floats | None  # (n, F); None: the head stays as it is

    def logits(self, answers: MemberAnswers) -> Floats:
        """Return the head's new logits (B, n), which slope and offset then calibrate."""
        if self.weights is None or answers.features is None:
            return answers.logits
        return np.asarray(answers.logits + answers.features @ self.weights.T)


def retrain(answers: MemberAnswers, targets: Targets, strengths: Sequence[Strength]) -> list[Retrained]:
    """Fit a member's slope, its nodes' offsets and, where it has features, the change of its head's weights.

    The slope and a common offset come first, over all nodes that it knows, then each node's own offset and weights: the
    largest posterior under a normal prior around the old head. With few samples nothing moves but what they agree on.

    Args:
        answers: of B samples.
        targets: (B, n) of its nodes.
        strengths: of the prior; one result for each.
    """
    goals, counted = targets.present.T.astype(np.float64), targets.known.T.astype(np.float64)
    slope, common = _fit_slope(answers, goals, counted)
    positives = (goals * counted).sum(axis=1)
    frequency = logit((positives + 0.5) / (counted.sum(axis=1) + 1))  # all that is known of a new node
    start = np.where(answers.knows, common, frequency)
    base = slope * answers.logits.T + start[:, None]
    basis = _Basis.of(answers.features) if answers.features is not None else None
    return [_fit(basis if one.retrains else None, goals, counted, base, start, slope, one) for one in strengths]


@dataclass(frozen=True)
class _Basis:
    """Features of samples along the directions in which they vary most, scaled so that a sample's length is about 1."""

    values: Floats  # (B, k)
    back: Floats  # (F, k) from weights of the directions to weights of the features
    centre: Floats  # (F,)

    @classmethod
    def of(cls, features: Floats) -> _Basis:
        centre, spread = features.mean(axis=0), features.std(axis=0)
        spread = spread + 0.01 * (spread.mean() or 1.0)
        centred = (features - centre) / spread
        _, size, directions = np.linalg.svd(centred, full_matrices=False)
        kept = min(_DIRECTIONS, int((size > 1e-5 * max(size[0], 1e-12)).sum()))
        values = centred @ directions[:kept].T
        length = float(np.sqrt((values**2).sum(axis=1).mean())) or 1.0
        return cls(values / length, directions[:kept].T / spread[:, None] / length, centre)


def _fit_slope(answers: MemberAnswers, goals: Floats, counted: Floats) -> tuple[float, float]:
    """Return the slope and the offset that are common to all nodes that the member knows."""
    if not answers.knows.any():
        return 1.0, 0.0
    values = answers.logits.T[answers.knows].ravel()
    design = np.stack([values, np.ones_like(values)], axis=1)[None]
    problem = LogisticProblem(design, goals[answers.knows].reshape(1, -1), counted[answers.knows].reshape(1, -1))
    start = np.array([[1.0, 0.0]])
    slope, offset = solve(problem, start, NormalPrior(start, np.full(2, _SLOPE)))[0]
    return max(float(slope), _FLATTEST), float(offset)


def _fit(
    basis: _Basis | None, goals: Floats, counted: Floats, base: Floats, start: Floats, slope: float, one: Strength
) -> Retrained:
    n, B = goals.shape
    values = np.zeros((B, 0)) if basis is None else basis.values
    # Without positives there is nothing to learn but that samples are not of this node: a class that is merely rare
    # would be taught to look like no sample at all. Scaling the inputs of a node scales its prior.
    positives = (goals * counted).sum(axis=1)
    share = np.sqrt(positives / (positives + _RARE))
    design = np.concatenate([share[:, None, None] * values, np.ones((n, B, 1))], axis=2)
    precision = np.append(np.full(values.shape[1], one.weights if basis is not None else 0.0), one.offset)
    zero = np.zeros((n, design.shape[2]))
    found = solve(LogisticProblem(design, goals, counted, base), zero, NormalPrior(zero, precision))
    if basis is None:
        return Retrained(slope, start + found[:, -1], None)
    weights = (share[:, None] * found[:, :-1]) @ basis.back.T
    return Retrained(slope, start + found[:, -1] - weights @ basis.centre, weights / slope)
