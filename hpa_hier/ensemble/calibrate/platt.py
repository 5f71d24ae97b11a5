"""Calibration: a slope and an offset for every node, the slope shrunk where positives are few."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from hpa_hier.ensemble.calibrate.isotonic import Curve
from hpa_hier.ensemble.calibrate.isotonic import isotonic as isotonic_curves
from hpa_hier.metrics.arrays import Bools, Floats

_SMALLEST_SLOPE = 1e-3  # calibration never turns a member's order round, nor flattens it
_LOUD = 10.0  # root mean square of scores from which they are no logits, and bounds go by their own unit
_STEEPEST = 100.0  # slope of a temperature that separable logits would drive to infinity
_LARGEST_STEP = 5.0  # change of a temperature's slope in one step, in units of the logits' spread
_ITERATIONS = 100
_TOLERANCE = 1e-9  # largest change of a parameter, in units of the logits' spread, that still counts
_ROUNDING = 1e-12  # relative change of a loss that is only rounding
_RIDGE = 1e-9  # keeps Newton's equations solvable where logits are constant or nothing is known


@dataclass(frozen=True)
class Calibration:
    """What turns a member's logits into calibrated ones: slope * logit + offset, bent by a curve where there is one.

    Attributes:
        nodes: n node names.
        slope: (n,), above 0.
        offset: (n,).
        curves: n rising curves, or none.
    """

    nodes: tuple[str, ...]
    slope: Floats
    offset: Floats
    curves: tuple[Curve, ...] = ()

    def apply(self, logits: Floats) -> Floats:
        """Return calibrated logits (B, n) of logits (B, n), columns as `nodes`."""
        line: Floats = logits * self.slope + self.offset
        for j, curve in enumerate(self.curves):
            line[:, j] = curve.bend(logits[:, j], line[:, j])
        return line


@dataclass(frozen=True)
class _Problem:
    """Logistic regressions side by side: x, goals and weights (B, n)."""

    x: Floats
    goals: Floats
    weights: Floats

    def loss(self, slope: Floats, offset: Floats) -> Floats:
        s = self.x * slope + offset
        each: Floats = (self.weights * (np.logaddexp(0.0, s) - self.goals * s)).sum(axis=0)
        return each


_Step = Callable[[_Problem, Floats, Floats], tuple[Floats, Floats]]


def identity(nodes: tuple[str, ...]) -> Calibration:
    """Return the calibration that changes nothing."""
    return Calibration(nodes, np.ones(len(nodes)), np.zeros(len(nodes)))


def platt(nodes: tuple[str, ...], logits: Floats, present: Bools, known: Bools, shrink: float) -> Calibration:
    """Fit slope and offset of every node by Platt's method, with slopes shrunk towards one shared slope.

    A node's slope is (1 - w) * shared + w * own with w = n / (n + shrink), where n counts its positives or its
    negatives, whichever are fewer; the offset is then fitted anew. The goals are Platt's (n + 1) / (n + 2) and
    1 / (n + 2), so everything stays finite for nodes that are separable or have no positive.

    Args:
        nodes: n node names.
        logits: (B, n).
        present: (B, n) targets.
        known: (B, n); where False the sample does not count for the node.
        shrink: positives at which a node's own slope counts half.

    Returns:
        The calibration; slopes are above 0, so the order of samples is kept.

    Source: Platt, Probabilistic outputs for support vector machines, 1999.
    """
    positives = (present & known).sum(axis=0)
    negatives = (~present & known).sum(axis=0)
    goals = np.where(present, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    weights = known.astype(np.float64)
    counts = np.maximum(weights.sum(axis=0), 1.0)
    centre = (logits * weights).sum(axis=0) / counts
    centred = logits - centre
    scale = float(np.sqrt((weights * centred**2).sum() / max(weights.sum(), 1.0))) or 1.0
    problem = _Problem(centred / scale, goals, weights)

    smallest = _SMALLEST_SLOPE * min(scale, _LOUD)
    shared, offset = _descend(problem, np.full(len(nodes), scale), centre.copy(), _shared_step, pooled=True)
    shared = np.maximum(shared, smallest)
    own, _ = _descend(problem, shared, offset, _own_step)
    fewer = np.minimum(positives, negatives)
    share = np.where(fewer > 0, fewer / np.maximum(fewer + shrink, 1e-12), 0.0)
    slope = np.maximum((1 - share) * shared + share * own, smallest)
    _, offset = _descend(problem, slope, offset, _offset_step)
    return Calibration(nodes, slope / scale, offset - slope * centre / scale)


def temperature(nodes: tuple[str, ...], logits: Floats, present: Bools, known: Bools, shrink: float) -> Calibration:
    """Divide all logits of a member by one number, that of smallest log loss.

    Args:
        nodes: n node names.
        logits: (B, n).
        present: (B, n) targets.
        known: (B, n); where False the sample does not count for the node.
        shrink: not used: one number for all nodes has positives enough.

    Returns:
        The calibration; one slope above 0, no offset.

    Source: Guo et al., On calibration of modern neural networks, ICML 2017.
    """
    scale = float(np.sqrt((logits**2)[known].mean())) if known.any() else 1.0
    scale = scale or 1.0
    problem = _Problem(logits / scale, present.astype(np.float64), known.astype(np.float64))
    start = np.full(len(nodes), min(scale, _LOUD))
    slope, _ = _descend(problem, start, np.zeros(len(nodes)), _temperature_step, pooled=True)
    slope = np.clip(slope, _SMALLEST_SLOPE * min(scale, _LOUD), _STEEPEST * max(scale, 1.0))
    return Calibration(nodes, slope / scale, np.zeros(len(nodes)))


def isotonic(nodes: tuple[str, ...], logits: Floats, present: Bools, known: Bools, shrink: float) -> Calibration:
    """Fit Platt's line and bend it by a rising curve, more so where positives are many; arguments as `platt`."""
    line = platt(nodes, logits, present, known, shrink)
    return replace(line, curves=isotonic_curves(logits, present, known, shrink))


def _descend(
    problem: _Problem, slope: Floats, offset: Floats, step: _Step, *, pooled: bool = False
) -> tuple[Floats, Floats]:
    """Follow Newton steps, halved until the loss falls; each node on its own, or all as one where pooled."""

    def loss_at(slope: Floats, offset: Floats) -> Floats:
        loss = problem.loss(slope, offset)
        return np.full_like(loss, loss.sum()) if pooled else loss

    loss = loss_at(slope, offset)
    for _ in range(_ITERATIONS):
        slope_step, offset_step = step(problem, slope, offset)
        for _ in range(_ITERATIONS):
            new_loss = loss_at(slope + slope_step, offset + offset_step)
            worse = ~(new_loss <= loss * (1 + _ROUNDING))
            if not worse.any():
                break
            slope_step = np.where(worse, slope_step / 2, slope_step)
            offset_step = np.where(worse, offset_step / 2, offset_step)
            if max(np.abs(slope_step[worse]).max(), np.abs(offset_step[worse]).max()) < _TOLERANCE:
                slope_step, offset_step = np.where(worse, 0.0, slope_step), np.where(worse, 0.0, offset_step)
                new_loss = np.where(worse, loss, new_loss)
                break
        slope, offset, loss = slope + slope_step, offset + offset_step, new_loss
        if max(np.abs(slope_step).max(initial=0.0), np.abs(offset_step).max(initial=0.0)) < _TOLERANCE:
            break
    return slope, offset


def _moments(problem: _Problem, slope: Floats, offset: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Gradient (by slope, by offset) and curvature (slope, mixed, offset) of every node's fit, each (n,)."""
    probs = expit(problem.x * slope + offset)
    rest = problem.weights * (problem.goals - probs)
    curve = problem.weights * probs * (1 - probs)
    return (
        (rest * problem.x).sum(axis=0),
        rest.sum(axis=0),
        (curve * problem.x**2).sum(axis=0) + _RIDGE,
        (curve * problem.x).sum(axis=0),
        curve.sum(axis=0) + _RIDGE,
    )


def _own_step(problem: _Problem, slope: Floats, offset: Floats) -> tuple[Floats, Floats]:
    by_slope, by_offset, aa, ab, bb = _moments(problem, slope, offset)
    determinant = np.maximum(aa * bb - ab**2, _RIDGE**2)
    return (bb * by_slope - ab * by_offset) / determinant, (aa * by_offset - ab * by_slope) / determinant


def _shared_step(problem: _Problem, slope: Floats, offset: Floats) -> tuple[Floats, Floats]:
    by_slope, by_offset, aa, ab, bb = _moments(problem, slope, offset)
    step = (by_slope - ab * by_offset / bb).sum() / max(float((aa - ab**2 / bb).sum()), _RIDGE)
    return np.full_like(slope, step), (by_offset - ab * step) / bb


def _temperature_step(problem: _Problem, slope: Floats, offset: Floats) -> tuple[Floats, Floats]:
    by_slope, _, aa, _, _ = _moments(problem, slope, offset)
    step = by_slope.sum() / max(float(aa.sum()), _RIDGE)
    step = float(np.clip(step, -_LARGEST_STEP, _LARGEST_STEP))  # separable logits have no finite best slope
    return np.full_like(slope, step), np.zeros_like(offset)


def _offset_step(problem: _Problem, slope: Floats, offset: Floats) -> tuple[Floats, Floats]:
    _, by_offset, _, _, bb = _moments(problem, slope, offset)
    return np.zeros_like(slope), by_offset / bb


CALIBRATIONS: Mapping[str, Callable[[tuple[str, ...], Floats, Bools, Bools, float], Calibration]] = {
    "platt": platt,
    "temperature": temperature,
    "isotonic": isotonic,
}
