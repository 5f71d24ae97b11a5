"""Co-occurrence-aware balance: rare labels reach a target, and common ones do not grow beyond a bound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp, minimize
from scipy.sparse import csr_array, eye_array, hstack

from hpa_hier.data.balance.repeat import balanced_counts, copy_factors, repeat_factors

_GAP = 1e-3  # relative; how far the rounding may stay from the nearest whole numbers
_NODES = 2000  # of the rounding's search, so that it ends, and always at the same plan
_SHORTFALL = 1e3  # one image short of a target costs the rounding as much as so many images off the even plan


@dataclass(frozen=True)
class Goal:
    """What a plan is asked for."""

    target: int  # images that each label is lifted to
    bound: np.ndarray  # (L,) growth that each label may have at most, as 0.15; inf: free
    most: int = 32  # no image is repeated more often than this

    @classmethod
    def for_all(cls, present: np.ndarray, target: int, bound: float, most: int) -> Goal:
        """Hold every label of (B, L) bool `present` that has the target already under one bound."""
        return cls(target, np.where(present.sum(axis=0) >= target, bound, np.inf), most)


@dataclass(frozen=True)
class BalancePlan:
    """How often each image appears in an epoch, and the counts that follow."""

    goal: Goal
    factors: np.ndarray  # (B,) int64, at least 1
    weights: np.ndarray  # (B,) float64, at least 1: the same plan before it was rounded to whole repeats
    before: np.ndarray  # (L,) int64 images of each label
    after: np.ndarray  # (L,) int64
    short: np.ndarray  # columns of labels that stay below the target, since the goal cannot be met
    max_without_others: np.ndarray  # (len(short),) images that each of them could have if no other label asked for any
    limited_by: tuple[tuple[int, ...], ...]  # for each of them: columns whose bounds are in the way; (): only `most` is

    @property
    def growth(self) -> np.ndarray:
        """(L,) growth of each label, as 0.15; 0 for a label that nobody has."""
        return np.asarray((self.after - self.before) / np.maximum(self.before, 1))


@dataclass(frozen=True)
class _Sets:
    """The distinct label sets, which all that matters is a matter of: images of one set are alike to a plan."""

    labels: np.ndarray  # (L, S) float64 in {0, 1}
    sizes: np.ndarray  # (S,) images of each set
    of_image: np.ndarray  # (B,) int64
    rare: np.ndarray  # columns below the target that somebody has
    held: np.ndarray  # columns with a bound
    limit: np.ndarray  # (len(held),) images that these may have


def plan_balance(present: np.ndarray, goal: Goal) -> BalancePlan:
    """Return the most uniform plan that lifts every label to the target and keeps every bound.

    Most uniform: the sum over images of (factor - 1)² is smallest, so that many images are repeated a little rather
    than a few often. Where no plan meets the goal, the total shortfall is smallest, and the labels that fall short are
    named; bounds always hold.

    Method, for labels `present` (B, L) bool: a linear program (HiGHS) for what can be reached, a quadratic one through
    its dual for the most uniform plan, an integer one (HiGHS) for whole repeats, all over the distinct label sets.

    >>> present = np.array([[True, False]] * 9 + [[True, True]] + [[False, True]])
    >>> plan_balance(present, Goal(target=6, bound=np.array([0.1, np.inf]))).factors
    array([1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4])
    """
    sets = _distinct_sets(present, goal)
    reachable, limited_by = _reachable(sets, goal)
    even = _most_uniform(sets, goal, reachable)
    totals = _round_to_whole(sets, goal, reachable, even)
    factors, weights = _share_out(sets, totals), np.maximum(even / sets.sizes, 1.0)[sets.of_image]
    before, after = balanced_counts(present, factors)
    short = sets.rare[after[sets.rare] < goal.target]
    names = dict(zip(sets.rare.tolist(), limited_by, strict=True))
    alone = np.array([_max_without_others(sets, goal, label) for label in short], dtype=np.int64)
    return BalancePlan(goal, factors, weights, before, after, short, alone, tuple(names[label] for label in short))


def balance_factors(present: np.ndarray, balance: str, share: float, bound: float, most: int) -> np.ndarray:
    """Return how often each image appears in an epoch under a recipe's balance.

    Args:
        present: (B, L) bool, which labels each image carries.
        balance: "none", "repeat" (repeat factors), "cooccurrence" (a plan in whole repeats), "weighted" (the plan
            before rounding) or "copied" (images of rare labels are copied, whatever labels are beside them).
        share: share of the images that each label is lifted to, for the latter three.
        bound: growth that a label with its share may have at most, as 0.15.
        most: no image is repeated more often than this.

    Returns:
        (B,) int64, or float64 for "weighted".

    Raises:
        ValueError: no such balance.
    """
    if balance == "none":
        return np.ones(len(present), np.int64)
    if balance == "repeat":
        return repeat_factors(present)
    target = max(1, round(share * len(present)))
    if balance == "copied":
        return copy_factors(present, target)
    if balance not in ("cooccurrence", "weighted"):
        raise ValueError(f"no balance is called {balance!r}")
    plan = plan_balance(present, Goal.for_all(present, target, bound, most))
    return plan.weights if balance == "weighted" else plan.factors


def _distinct_sets(present: np.ndarray, goal: Goal) -> _Sets:
    distinct, of_image, sizes = np.unique(present, axis=0, return_inverse=True, return_counts=True)
    counts = present.sum(axis=0)
    held = np.flatnonzero(np.isfinite(goal.bound) & (counts > 0))
    return _Sets(
        labels=distinct.T.astype(np.float64),
        sizes=sizes.astype(np.int64),
        of_image=of_image.ravel(),
        rare=np.flatnonzero((counts < goal.target) & (counts > 0)),
        held=held,
        limit=np.floor((1.0 + goal.bound[held]) * counts[held] + 1e-9),
    )


def _reachable(sets: _Sets, goal: Goal) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """Return (len(rare),) whole images that the rare labels can reach together, and whose bounds hold each back."""
    S, R = len(sets.sizes), len(sets.rare)
    if not R:
        return np.zeros(0), []
    labels = sets.labels
    rarest_first = 1.0 + 0.1 / (labels[sets.rare] @ sets.sizes)  # decides where it is all one who falls short
    missing = linprog(
        np.r_[np.zeros(S), rarest_first],
        A_ub=np.block([[-labels[sets.rare], -np.eye(R)], [labels[sets.held], np.zeros((len(sets.held), R))]]),
        b_ub=np.r_[np.full(R, -float(goal.target)), sets.limit],
        bounds=np.r_[np.c_[sets.sizes, goal.most * sets.sizes], np.c_[np.zeros(R), np.full(R, float(goal.target))]],
    )
    reached = np.floor(goal.target - missing.x[S:] + 1e-6)
    full = sets.held[missing.ineqlin.marginals[R:] < -1e-9]
    repeatable = labels[:, missing.x[:S] < goal.most * sets.sizes - 1e-6].astype(bool)
    beside = np.array([repeatable[:, repeatable[label]].any(axis=1) for label in sets.rare])
    return reached, [tuple(full[one[full]].tolist()) for one in beside]


def _max_without_others(sets: _Sets, goal: Goal, label: int) -> int:
    """Return how many images one label could have under the bounds if no other asked for any."""
    bounds = np.c_[sets.sizes, goal.most * sets.sizes]
    found = linprog(-sets.labels[label], A_ub=sets.labels[sets.held], b_ub=sets.limit, bounds=bounds)
    return int(-found.fun + 1e-6)


def _most_uniform(sets: _Sets, goal: Goal, reachable: np.ndarray) -> np.ndarray:
    """Return (S,) images of each set: least squared factors under the targets and bounds.

    With multipliers λ of the targets and μ of the bounds, a set's factor is 1 + Σ λ - Σ μ over its labels, clipped to
    1..most; the multipliers maximise the dual, which is concave and has a variable a label.
    """
    wanted, held = sets.labels[sets.rare], sets.labels[sets.held]
    scale = np.sqrt(np.r_[np.maximum(reachable, 1.0), np.maximum(sets.limit, 1.0)])
    pushed = np.vstack([wanted, -held]) / scale[:, None]  # (R + H, S)
    least = np.r_[reachable, -sets.limit] / scale

    def images(multipliers: np.ndarray) -> np.ndarray:
        return np.asarray(sets.sizes * np.clip(1.0 + pushed.T @ multipliers, 1.0, goal.most))

    def dual(multipliers: np.ndarray) -> tuple[float, np.ndarray]:
        totals = images(multipliers)
        slack = least - pushed @ totals
        uneven = 0.5 * (sets.sizes * (totals / sets.sizes - 1.0) ** 2).sum()
        return -float(uneven + multipliers @ slack), -slack

    if not len(least):
        return sets.sizes.astype(np.float64)
    options = {"maxiter": 5000, "maxfun": 50000, "ftol": 1e-14, "gtol": 1e-6}
    found = minimize(dual, 0.0 * least, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(least), options=options)
    return images(found.x)


def _round_to_whole(sets: _Sets, goal: Goal, reachable: np.ndarray, even: np.ndarray) -> np.ndarray:
    """Return (S,) int64 images of each set: as near to `even` as whole images get that keep targets and bounds."""
    S, R, H = len(sets.sizes), len(sets.rare), len(sets.held)
    one, off = eye_array(S), eye_array(S)  # columns: images of each set, distance from `even`, images short
    none = csr_array((S, R))
    lifted = np.hstack([sets.labels[sets.rare], np.zeros((R, S)), np.eye(R)])
    bounded = np.hstack([sets.labels[sets.held], np.zeros((H, S + R))])
    constraints = [
        LinearConstraint(hstack([one, -off, none]).tocsr(), ub=even),
        LinearConstraint(hstack([one, off, none]).tocsr(), lb=even),
        LinearConstraint(csr_array(lifted), lb=reachable),
        LinearConstraint(csr_array(bounded), ub=sets.limit),
    ]
    found = milp(
        np.r_[np.zeros(S), np.ones(S), np.full(R, _SHORTFALL)],
        integrality=np.r_[np.ones(S), np.zeros(S + R)],
        bounds=Bounds(np.r_[sets.sizes, np.zeros(S + R)], np.r_[goal.most * sets.sizes, np.full(S + R, np.inf)]),
        constraints=constraints,
        options={"mip_rel_gap": _GAP, "node_limit": _NODES},
    )
    if found.x is None:  # repeating nothing keeps every bound, so there always is a plan
        raise RuntimeError(f"rounding the balance plan ended without one: {found.message}")
    return np.asarray(np.rint(found.x[:S]), dtype=np.int64)


def _share_out(sets: _Sets, totals: np.ndarray) -> np.ndarray:
    """Return (B,) int64 factors: each set's images share its total, the first ones of them what is left over."""
    order = np.argsort(sets.of_image, kind="stable")
    firsts = np.cumsum(sets.sizes) - sets.sizes
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order)) - firsts[sets.of_image[order]]
    share, left = np.divmod(totals, sets.sizes)
    return np.asarray(share[sets.of_image] + (place < left[sets.of_image]))
