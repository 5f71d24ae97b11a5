"""Fitting an ensemble on held-out scores: calibration, weights, gates, and thresholds on out-of-fold probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hpa_hier.ensemble.calibrate.platt import CALIBRATIONS, Calibration, identity
from hpa_hier.ensemble.combine.aggregate import WEIGHTS, combine, coverage, fill_absent
from hpa_hier.ensemble.combine.blend import blend_weights
from hpa_hier.ensemble.combine.factor import apply_factors, check_factors
from hpa_hier.ensemble.combine.reconcile import Gate, fit_gamma
from hpa_hier.ensemble.combine.rnn import fit_rnn
from hpa_hier.ensemble.combine.stack import Lesson, Stacked, refined, ridge
from hpa_hier.ensemble.decide.by_hand import set_by_hand
from hpa_hier.ensemble.decide.close import close, decide
from hpa_hier.ensemble.decide.safe import safe_thresholds
from hpa_hier.ensemble.decide.thresholds import ThresholdPlan, Thresholds, fit_thresholds
from hpa_hier.ensemble.ensemble import Ensemble, EnsembleMember, spread
from hpa_hier.ensemble.folds import assign_folds
from hpa_hier.ensemble.scores.scores import Scores, Truth, align
from hpa_hier.errors import UserError
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.metrics.groups import number_units
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

_FEWEST = 10  # samples a fold, below which there are fewer folds


@dataclass(frozen=True)
class FitData:
    """What an ensemble is fitted on; rows of all parts belong together.

    Attributes:
        members: E members' scores of the same B samples, by name.
        available: (E, B) which member knows which sample.
        truth: targets of these samples.
        units: B names of what must not be parted between folds; "" stands alone.
    """

    members: tuple[Scores, ...]
    available: Bools
    truth: Truth
    units: tuple[str, ...]

    def rows(self, chosen: NDArray[np.bool_]) -> FitData:
        """Return these samples alone; chosen is (B,)."""
        index = np.flatnonzero(chosen)
        ids = tuple(self.truth.ids[i] for i in index)
        members = tuple(replace(scores, ids=ids, logits=scores.logits[index]) for scores in self.members)
        truth = Truth(ids, self.truth.present[index], self.truth.known[index])
        return FitData(members, self.available[:, index], truth, tuple(self.units[i] for i in index))


@dataclass(frozen=True)
class OutOfFold:
    """What ensembles fitted on the other folds say of each sample.

    Attributes:
        truth: of the B samples.
        units: B names of what belongs together.
        probs: (B, N), out of fold.
        present: (B, N) closed decisions, by thresholds fitted on the other folds' out-of-fold probabilities.
    """

    truth: Truth
    units: tuple[str, ...]
    probs: Floats
    present: Bools


def fit_data(
    members: Sequence[Scores], truth: Truth, available: Bools | None = None, units: Sequence[str] | None = None
) -> FitData:
    """Bring samples into the order of their ids and members into that of their names, so that sums do not depend on it.

    Args:
        members: E members' scores of the same samples, in any order.
        truth: targets of at least these samples.
        available: (E, B) which member knows which sample, rows as `members`, columns as the first member's ids.
        units: for each of truth's samples, what it belongs to, as its antibody; None: each stands alone.
    """
    ids = sorted(members[0].ids) if members else []
    scored = align(members, ids)
    if available is None:
        known = np.ones((len(scored), len(ids)), bool)
    else:
        names, place = [one.name for one in members], {sample: i for i, sample in enumerate(members[0].ids)}
        order = [names.index(scores.name) for scores in scored]
        known = available[order][:, [place[sample] for sample in ids]]
    unit = dict(zip(truth.ids, units, strict=True)) if units else {}
    return FitData(scored, known, truth.take(ids), tuple(unit.get(sample, "") for sample in ids))


def fit(members: Sequence[Scores], truth: Truth, taxonomy: Taxonomy, settings: EnsembleSettings) -> Ensemble:
    """Fit an ensemble on samples that no member was trained on.

    Args:
        members: E members' scores of the same samples, in any order, nodes called as in `taxonomy`.
        truth: targets of at least these samples, columns as taxonomy.nodes.
        taxonomy: the label tree.
        settings: how to calibrate, aggregate, reconcile and choose thresholds.

    Returns:
        The ensemble; the order of members and of samples does not matter.

    Raises:
        UserError: a node is unknown, or no member answers for a leaf.
    """
    return cross_fit(fit_data(members, truth), taxonomy, settings)[0]


def cross_fit(given: FitData, taxonomy: Taxonomy, settings: EnsembleSettings) -> tuple[Ensemble, OutOfFold | None]:
    """Fit an ensemble, its thresholds on out-of-fold probabilities, and say how it did out of fold.

    Returns:
        The ensemble, and what it says out of fold; None where the settings or few samples allow no folds.
    """
    _check_nodes(given.members, taxonomy)
    _check_leaves(coverage(given.members, taxonomy.column), taxonomy)
    given = _as_asked(given, settings)
    check_factors(given.members, taxonomy)
    ensemble = _without_thresholds(given, taxonomy, settings)
    truth = given.truth
    number = min(settings.folds, len(truth.ids) // _FEWEST, len(np.unique(number_units(given.units))))
    if number < 2:
        probs = _probs(ensemble, given)
        held_out = None
    else:
        fold = assign_folds(truth.present, given.units, number)
        probs = np.empty(truth.present.shape)
        for k in range(number):
            probs[fold == k] = _probs(
                _without_thresholds(given.rows(fold != k), taxonomy, settings), given.rows(fold == k)
            )
        held_out = _nested(given, probs, fold, taxonomy, settings)
    thresholds = _thresholds(probs, truth, taxonomy, settings, number_units(given.units))
    safe = safe_thresholds(probs, truth.present, truth.known, settings.safe_precision)
    return replace(ensemble, thresholds=thresholds, safe=safe), held_out


def _as_asked(given: FitData, settings: EnsembleSettings) -> FitData:
    """Leave out what members' answers are conditional on where a rule takes them as they are.

    Plain concatenation is the baseline without the missing factor; and `chain` multiplies along the path itself.
    """
    if settings.aggregate != "concat":
        return given
    return replace(given, members=tuple(replace(scores, given="") for scores in given.members))


def _nested(
    given: FitData, probs: Floats, fold: NDArray[np.intp], taxonomy: Taxonomy, settings: EnsembleSettings
) -> OutOfFold:
    """Decide each fold by thresholds that were fitted on the others."""
    truth, present = given.truth, np.zeros(probs.shape, bool)
    unseen = settings.model_copy(update={"bootstrap": 0})
    for k in range(int(fold.max()) + 1):
        rest = fold != k
        other = Truth((), truth.present[rest], truth.known[rest])
        values = _thresholds(probs[rest], other, taxonomy, unseen).values
        present[~rest] = close(decide(probs[~rest], values), taxonomy.bottom_up)
    return OutOfFold(truth, given.units, probs, present)


def _without_thresholds(given: FitData, taxonomy: Taxonomy, settings: EnsembleSettings) -> Ensemble:
    """Fit all but the thresholds, which want out-of-fold probabilities."""
    truth = given.truth
    covers = coverage(given.members, taxonomy.column)
    calibrations = [
        _calibrate(scores, available, truth, taxonomy, settings)
        for scores, available in zip(given.members, given.available, strict=True)
    ]
    wide = [spread(one, scores, taxonomy) for one, scores in zip(calibrations, given.members, strict=True)]
    columns = [taxonomy.column[scores.given] if scores.given else None for scores in given.members]
    logits = fill_absent(np.stack(apply_factors(wide, covers, columns)), covers, given.available)
    # Where nobody speaks there is nothing to fit; booleans as numbers, since their product is fast.
    answered = given.available.T.astype(np.float32) @ covers.astype(np.float32) > 0
    lesson = Lesson(logits, covers, truth.present, truth.known & answered)
    stacked = _aggregate(lesson, settings)
    rnn = None
    if settings.aggregate == "rnn":
        total = combine(list(logits), stacked.weights) + stacked.offset
        rnn = fit_rnn(lesson, total, taxonomy.bottom_up)
    members = tuple(
        EnsembleMember(scores.name, calibration, weight, given=scores.given)
        for scores, calibration, weight in zip(given.members, calibrations, stacked.weights, strict=True)
    )
    size = len(taxonomy.nodes)
    nothing = np.full(size, np.nan)
    unset = Thresholds(
        taxonomy.nodes, np.full(size, 0.5), ("fixed",) * size, nothing, nothing, np.zeros(size, np.int64)
    )
    rules = settings.aggregate, settings.reconcile
    return Ensemble(taxonomy, members, stacked.offset, *rules, (), unset, np.full(size, np.inf), rnn)


def _aggregate(lesson: Lesson, settings: EnsembleSettings) -> Stacked:
    if settings.aggregate == "logistic_stack":
        return ridge(lesson)
    if settings.aggregate == "blend":
        weights = blend_weights(lesson)
        return Stacked(weights, np.zeros(weights.shape[1]))
    weights = WEIGHTS["mean" if settings.aggregate == "rnn" else settings.aggregate](lesson.covers)
    return refined(lesson, weights) if settings.refine else Stacked(weights, np.zeros(weights.shape[1]))


def _probs(ensemble: Ensemble, given: FitData) -> Floats:
    return ensemble.probabilities(ensemble.calibrated(given.members), given.available)[1]


def _thresholds(
    probs: Floats, truth: Truth, taxonomy: Taxonomy, settings: EnsembleSettings, units: NDArray[np.intp] | None = None
) -> Thresholds:
    plan = ThresholdPlan(
        settings.thresholds, settings.fixed_threshold, settings.small_class_positives, settings.bootstrap
    )
    leaves = [taxonomy.column[leaf] for leaf in taxonomy.leaves]
    fitted = fit_thresholds(taxonomy.nodes, probs, (truth.present, truth.known), leaves, plan, units)
    return set_by_hand(fitted, settings.hand_thresholds)


def fit_gates(raw: Floats, truth: Truth, taxonomy: Taxonomy) -> tuple[Gate, ...]:
    """Fit one gamma for each top group; raw is (B, N) before reconciliation."""
    gates = []
    for group in taxonomy.groups:
        leaves = tuple(taxonomy.column[leaf] for leaf in taxonomy.leaves_below(group))
        bare = Gate(taxonomy.column[group], leaves)
        gates.append(Gate(bare.group, leaves, fit_gamma(raw, truth.present, truth.known, bare)))
    return tuple(gates)


def _calibrate(
    scores: Scores, available: Bools, truth: Truth, taxonomy: Taxonomy, settings: EnsembleSettings
) -> Calibration:
    if settings.calibrate == "none":
        return identity(scores.nodes)
    columns = [taxonomy.column[node] for node in scores.nodes]
    known = truth.known[:, columns] & available[:, None]
    if scores.given:  # it speaks of these samples only
        known &= (truth.present & truth.known)[:, [taxonomy.column[scores.given]]]
    return CALIBRATIONS[settings.calibrate](
        scores.nodes, scores.logits, truth.present[:, columns], known, settings.shrink_positives
    )


def _check_nodes(scored: Sequence[Scores], taxonomy: Taxonomy) -> None:
    for scores in scored:
        unknown = [node for node in scores.nodes if node not in taxonomy.column]
        if unknown:
            raise UserError(
                f"member '{scores.name}' answers for '{unknown[0]}', which {taxonomy.source} does not have; "
                "train it again or leave it out of ensemble.members"
            )


def _check_leaves(covers: Bools, taxonomy: Taxonomy) -> None:
    lost = [leaf for leaf in taxonomy.leaves if not covers[:, taxonomy.column[leaf]].any()]
    if lost:
        raise UserError(
            f"no member answers for the leaf '{lost[0]}'{f' and {len(lost) - 1} others' if len(lost) > 1 else ''}; "
            "train one that does (python -m hpa_hier.train --level leaf) and name it in ensemble.members"
        )
