"""Fitting an ensemble on held-out scores: the combiner on all of them, the decision on out-of-fold probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpa_hier.ensemble.combiner import Combiner, check_nodes
from hpa_hier.ensemble.decision import Decision
from hpa_hier.ensemble.ensemble import Ensemble, EnsembleMember
from hpa_hier.ensemble.folds import assign_folds
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


def cross_fit(data: FitData, taxonomy: Taxonomy, settings: EnsembleSettings) -> tuple[Ensemble, OutOfFold | None]:
    """Fit an ensemble, its decision on cross-fitted probabilities, and return what it says out of fold.

    A fold's probabilities are those of a combiner fitted on the other folds; its decisions are those of thresholds
    fitted on the other folds' out-of-fold probabilities.

    Returns:
        The ensemble, and what it says out of fold; None where the settings or few samples allow no folds.
    """
    check_rules(settings)
    check_nodes(data.members, taxonomy)
    combiner = Combiner.fit(data, taxonomy, settings)
    targets, fold = data.truth.targets, _folds(data, settings)
    if fold is None:
        probs, out_of_fold = combiner.probs(data.members, data.available).reconciled, None
    else:
        probs = _probs_out_of_fold(data, fold, taxonomy, settings)
        present = _present_out_of_fold(probs, data, fold, taxonomy, settings)
        out_of_fold = OutOfFold(data.truth, data.units, probs, present)
    decision = Decision.fit(probs, targets, taxonomy, settings, number_units(data.units))
    members = tuple(EnsembleMember(scores.name) for scores in data.members)
    return Ensemble(taxonomy, members, combiner, decision), out_of_fold


def _folds(data: FitData, settings: EnsembleSettings) -> NDArray[np.intp] | None:
    """Return each sample's fold, (B,); None where the settings or few samples allow none."""
    units = len(np.unique(number_units(data.units)))
    number = min(settings.folds, len(data.truth.ids) // _FEWEST, units)
    return assign_folds(data.truth.present, data.units, number) if number >= 2 else None


def _probs_out_of_fold(data: FitData, fold: NDArray[np.intp], taxonomy: Taxonomy, settings: EnsembleSettings) -> Floats:
    probs = np.empty(data.truth.present.shape)
    for k in range(int(fold.max()) + 1):
        combiner, rest = Combiner.fit(data.rows(fold != k), taxonomy, settings), data.rows(fold == k)
        probs[fold == k] = combiner.probs(rest.members, rest.available).reconciled
    return probs


def _present_out_of_fold(
    probs: Floats, data: FitData, fold: NDArray[np.intp], taxonomy: Taxonomy, settings: EnsembleSettings
) -> Bools:
    present = np.zeros(probs.shape, bool)
    without_intervals = settings.model_copy(update={"bootstrap": 0})
    for k in range(int(fold.max()) + 1):
        rest = data.rows(fold != k).truth.targets
        decision = Decision.fit(probs[fold != k], rest, taxonomy, without_intervals)
        present[fold == k] = decision.decide(probs[fold == k]).present
    return present
