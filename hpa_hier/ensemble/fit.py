"""Fitting an ensemble on held-out scores: the combiner on all of them, the decision on out-of-fold probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpa_hier.ensemble.calibrate.calibration import Calibration
from hpa_hier.ensemble.combiner import Combiner, check_nodes
from hpa_hier.ensemble.decision import Decision
from hpa_hier.ensemble.ensemble import Ensemble, EnsembleMember
from hpa_hier.ensemble.rules import check_rules
from hpa_hier.ensemble.scores.fit_data import FitData, fit_data
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.metrics.groups import number_units
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

_FEWEST = 10  # samples a fold, below which there are fewer folds


@dataclass(frozen=True)
class OutOfFold:
    """What ensembles fitted on the other folds say of each sample."""

    truth: Truth  # of the B samples
    units: tuple[str, ...]  # B names of what belongs together
    fold: NDArray[np.intp]  # (B,) number of the fold that held the sample out, from 0
    probs: Floats  # (B, N), out of fold
    present: Bools  # (B, N) closed decisions, by thresholds fitted on the other folds' out-of-fold probabilities


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
        UserError: a rule or a node is unknown, or no member answers for a leaf.
    """
    return cross_fit(fit_data(members, truth), taxonomy, settings)[0]


def cross_fit(
    data: FitData, taxonomy: Taxonomy, settings: EnsembleSettings, kept: dict[bytes, Calibration] | None = None
) -> tuple[Ensemble, OutOfFold | None]:
    """Fit an ensemble, its decision on cross-fitted probabilities, and return what it says out of fold.

    Args:
        data: members' scores and the truth.
        taxonomy: the label tree.
        settings: how to calibrate, aggregate, reconcile and choose thresholds.
        kept: calibrations of an ensemble that was fitted before, on some of the same scores; new ones are added.

    Returns:
        The ensemble, and what it says out of fold; None where the settings or few samples allow no folds.
    """
    check_rules(settings)
    check_nodes(data.members, taxonomy)
    combiner, units = Combiner.fit(data, taxonomy, settings, kept), number_units(data.units)
    folds = min(settings.folds, len(data.truth.ids) // _FEWEST, len(np.unique(units)))
    fold = assign_folds(data.truth.present, data.units, folds) if folds >= 2 else None
    out_of_fold = _predict_out_of_fold(data, fold, taxonomy, settings, kept) if fold is not None else None
    probs = out_of_fold.probs if out_of_fold else combiner.probs(data.members, data.available)[1]
    decision = Decision.fit(probs, data.truth.targets, taxonomy, settings, units, fold, data.learned)
    members = tuple(EnsembleMember(scores.name) for scores in data.members)
    return Ensemble(taxonomy, members, combiner, decision), out_of_fold


def _predict_out_of_fold(
    data: FitData,
    fold: NDArray[np.intp],
    taxonomy: Taxonomy,
    settings: EnsembleSettings,
    kept: dict[bytes, Calibration] | None,
) -> OutOfFold:
    folds = int(fold.max()) + 1
    probs = np.empty(data.truth.present.shape)
    for k in range(folds):
        combiner, rest = Combiner.fit(data.rows(fold != k), taxonomy, settings, kept), data.rows(fold == k)
        probs[fold == k] = combiner.probs(rest.members, rest.available)[1]
    present = np.zeros(probs.shape, bool)
    without_intervals = settings.model_copy(update={"bootstrap": 0})
    for k in range(folds):
        rest = fold != k
        targets = data.rows(rest).truth.targets
        decision = Decision.fit(probs[rest], targets, taxonomy, without_intervals, None, fold[rest], data.learned)
        present[fold == k] = decision.decide(probs[fold == k])[0]
    return OutOfFold(data.truth, data.units, fold, probs, present)


def assign_folds(present: Bools, units: Sequence[str] | None, number: int, seed: int = 0) -> NDArray[np.intp]:
    """Assign samples to folds, so that each has its share of rare labels.

    Units are sorted by their rarest label and go to the folds in turn. The split of a data set
    (`data.split.stratify`) balances every label's count and costs seconds; here sorting is enough.

    Args:
        present: (B, N) targets.
        units: B names of what must stay together, such as antibodies; "" is alone. None: all are alone.
        number: of folds.
        seed: of the order among equals.

    Returns:
        (B,) fold of each sample, 0 to number - 1.

    >>> fold = assign_folds(np.eye(4, dtype=bool), ["a", "a", "", "b"], 2)
    >>> fold[0] == fold[1], sorted(set(fold.tolist()))
    (np.True_, [0, 1])
    """
    names = units or [f"{row}" for row in range(len(present))]
    _, first, unit = np.unique(number_units(names, by_name=True), return_index=True, return_inverse=True)
    together = np.zeros((len(first), present.shape[1]), bool)
    np.logical_or.at(together, unit, present)
    counts = together.sum(axis=0)
    rarity = np.where(together, counts, len(first) + 1)
    rarest = np.where(together.any(axis=1), rarity.argmin(axis=1), -1)
    chance = np.random.default_rng(seed).permutation(len(first))
    order = np.lexsort((chance, rarest, rarity.min(axis=1)))
    fold = np.empty(len(first), np.intp)
    fold[order] = np.arange(len(first)) % number
    return np.asarray(fold[unit])
