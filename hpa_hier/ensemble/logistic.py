"""Logistic regressions side by side: each one's largest posterior under a normal prior, by Newton's method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpa_hier.metrics.arrays import Floats
from hpa_hier.metrics.logistic import expit

_STEPS = 50
_HALVINGS = 60
_DONE = 1e-8  # change of a parameter at which the steps end


@dataclass(frozen=True)
class LogisticProblem:
    """n regressions on the same B samples."""

    x: Floats  # (n, B, k) inputs
    goals: Floats  # (n, B) in [0, 1]
    counted: Floats  # (n, B) how often each sample counts
    base: Floats | None = None  # (n, B) logits that the inputs' sum is added to; None: 0

    def logits(self, parameters: Floats) -> Floats:
        """Return the logits (n, B) of parameters (n, k)."""
        logits: Floats = (self.x @ parameters[:, :, None])[:, :, 0]
        return logits if self.base is None else logits + self.base


@dataclass(frozen=True)
class NormalPrior:
    """What parameters are held near to: means (n, k) and precisions (k,), each a count of logistic observations."""

    means: Floats
    precision: Floats


def solve(problem: LogisticProblem, start: Floats, prior: NormalPrior) -> Floats:
    """Return the parameters (n, k) of largest posterior, found from `start` (n, k).

    >>> x, goals = np.ones((1, 4, 1)), np.array([[1.0, 0.0, 0.0, 0.0]])
    >>> problem = LogisticProblem(x, goals, np.ones_like(goals))
    >>> float(solve(problem, np.zeros((1, 1)), NormalPrior(np.zeros((1, 1)), np.zeros(1)))[0, 0].round(4))
    -1.0986
    """
    found, logits = start.copy(), problem.logits(start)
    loss = _loss(problem, logits, found, prior)
    for _ in range(_STEPS):
        probs = expit(logits)
        slope = (((problem.goals - probs) * problem.counted)[:, None, :] @ problem.x)[:, 0]
        slope -= prior.precision * (found - prior.means)
        step = np.linalg.solve(_curvature(problem, probs, prior), slope[:, :, None])[:, :, 0]
        for _ in range(_HALVINGS):  # logits far out have next to no curvature, and whole steps overshoot
            logits = problem.logits(found + step)
            after = _loss(problem, logits, found + step, prior)
            worse = after > loss * (1 + 1e-12)
            if not worse.any():
                break
            step = np.where(worse[:, None], step / 2, step)
        else:
            step = np.where(worse[:, None], 0.0, step)
            logits = problem.logits(found + step)
            after = np.where(worse, loss, after)
        found, loss = found + step, after
        if np.abs(step).max() < _DONE:
            break
    return found


def curvature(problem: LogisticProblem, parameters: Floats, prior: NormalPrior) -> Floats:
    """Return the second derivative of each negative log posterior, (n, k, k), at parameters (n, k)."""
    return _curvature(problem, expit(problem.logits(parameters)), prior)


def _curvature(problem: LogisticProblem, probs: Floats, prior: NormalPrior) -> Floats:
    heavy = probs * (1 - probs) * problem.counted
    found, one = np.empty((len(heavy), *2 * problem.x.shape[2:])), np.empty(problem.x.shape[1:])
    for n, x in enumerate(problem.x):  # one after another, so that memory does not double
        np.matmul(x.T, np.multiply(heavy[n][:, None], x, out=one), out=found[n])
    return found + np.diag(prior.precision)


def _loss(problem: LogisticProblem, logits: Floats, parameters: Floats, prior: NormalPrior) -> Floats:
    """Negative logarithm of each posterior, (n,), up to a constant."""
    loss = ((np.logaddexp(0.0, logits) - problem.goals * logits) * problem.counted).sum(axis=1)
    return np.asarray(loss + (prior.precision * (parameters - prior.means) ** 2).sum(axis=1) / 2)
